"""The inventory provider: nothing is made and nothing is switched off; the machines are somebody's already."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

from provisioner.command import missing_program
from provisioner.errors import UsageError
from provisioner.lab import HostSpec
from provisioner.machines import Machine, sockets, ssh
from provisioner.machines.inventory import given, probe
from provisioner.machines.inventory.probe import Found
from provisioner.machines.tunnel import Tunnel
from provisioner.progress import Progress
from provisioner.state import LabFolder, Record


class InventoryProvider:
    def __init__(self, lab: LabFolder, record: Record) -> None:
        self.lab = lab
        self.spec = record.spec
        self.mark = record.mark
        self.tunnels = {host.name: Tunnel(lab, host.name) for host in record.spec.hosts}

    def preflight(self) -> list[str]:
        if shutil.which("ssh") is None:
            raise missing_program("ssh")
        sockets.require_short(path for tunnel in self.tunnels.values() for path in tunnel.sockets)
        return []

    def working(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def prepare(
        self,
        progress: Progress,  # noqa: ARG002
        *,
        converged_by: str,  # noqa: ARG002
        converge: Callable[[HostSpec], None] | None,  # noqa: ARG002
    ) -> bool:
        return False  # there is no image: each machine is as it is

    def create(self, progress: Progress) -> dict[str, str]:
        """Make sure that a swarm can be made of every machine. Nothing is changed on them.

        :raises UsageError: a machine is in a swarm that is not this lab's, or belongs to another lab.
        """
        given.write_ssh_config(self.lab, self.spec)
        ways = {name: host.way for name, host in given.kept(self.lab).hosts.items()}

        def ask(host: HostSpec) -> Found:
            progress.host(host.name, "asking for ssh, sudo, Python and Debian")
            found = probe.ask(self.lab, host, ways[host.name])
            progress.host(host.name, found.problem or "can be used")
            return found

        with progress.stage(f"Looking at {len(self.spec.hosts)} machines"):
            with ThreadPoolExecutor(len(self.spec.hosts)) as pool:
                answers = dict(zip((h.name for h in self.spec.hosts), pool.map(ask, self.spec.hosts), strict=True))
            self._require_free(answers)
        failures = {name: found.problem for name, found in answers.items() if found.problem}
        given.touch(self.lab, answers.keys() - failures.keys())
        return failures

    def _require_free(self, answers: Mapping[str, Found]) -> None:
        for name, found in answers.items():
            if found.lab and found.lab != self.mark:
                raise UsageError(
                    f"{name} belongs to another lab already: {found.lab}; nothing was changed",
                    hint=f"take that one away where it was made: provision down --name {found.lab.rpartition('.')[0]}",
                )
            if found.swarm not in ("", "inactive") and not found.lab:
                raise UsageError(
                    f"{name} is in a swarm already, which this lab did not form; nothing was changed",
                    hint=f"leave {name} out of the inventory, or let it leave its swarm: "
                    f"provision ssh {name} --name {self.lab.name} -- sudo docker swarm leave",
                )

    @contextlib.contextmanager
    def converging(self) -> Iterator[Mapping[str, object]]:
        try:
            yield {}
        finally:
            # Whoever came into the group docker only now is in it from the next login on.
            for tunnel in self.tunnels.values():
                tunnel.close()
            ssh.hang_up(self.lab, list(self.tunnels))

    def machines(self) -> list[Machine]:
        # An open tunnel says that ssh gets there, for the price of a connection on this machine.
        with ThreadPoolExecutor(len(self.spec.hosts)) as pool:
            reached = list(pool.map(lambda host: self.tunnels[host.name].open(), self.spec.hosts))
        return [
            Machine(host, "running" if is_open else "unreachable", self.tunnels[host.name].socket)
            for host, is_open in zip(self.spec.hosts, reached, strict=True)
        ]

    def start(self, names: Sequence[str], progress: Progress) -> dict[str, str]:  # noqa: ARG002
        raise self._refusal(f"switch {', '.join(names)} on where the power is: a console, a control panel, a button")

    def stop(self, names: Sequence[str], progress: Progress) -> None:  # noqa: ARG002
        raise self._refusal(f"if you mean it: provision ssh {names[0]} --name {self.lab.name} -- sudo poweroff")

    def suspend(self, names: Sequence[str], progress: Progress) -> None:  # noqa: ARG002
        raise self._refusal(
            f"if you mean it: provision ssh {names[0]} --name {self.lab.name} -- sudo systemctl suspend"
        )

    def power_off(self, names: Sequence[str]) -> None:
        raise self._refusal(
            f"ssh pulls no plug; shut down instead: provision ssh {names[0]} --name {self.lab.name} -- sudo poweroff"
        )

    def freeze(self, names: Sequence[str]) -> None:
        raise self._refusal(f"ssh freezes no machine; do it to {', '.join(names)} where they run")

    def thaw(self, names: Sequence[str]) -> None:
        """Nothing: none is ever frozen."""

    def console(self, name: str) -> str:  # noqa: ARG002
        return "  (it has none here: the machine is not provision's)"

    def _refusal(self, hint: str) -> UsageError:
        return UsageError("machines of the inventory provider are not ours to switch on or off", hint=hint)
