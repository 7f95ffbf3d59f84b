"""What Vagrant cannot do with libvirt's machines: pull the plug, tell saved from halted, find orphan volumes."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from provisioner import command
from provisioner.command import CommandFailed
from provisioner.errors import MachineLacks

DomainState = Literal["running", "stopped", "saved"]

NO_CONNECTION = "failed to connect to the hypervisor"

# virsh(1), `list`. A paused domain is what `vagrant suspend` leaves where its mode is "pause".
_STATES: dict[str, DomainState] = {"shut off": "stopped", "crashed": "stopped", "saved": "saved", "paused": "saved"}


class Virsh:
    def __init__(
        self, inside: Callable[[Sequence[str | Path]], list[str]] = lambda argv: [*map(str, argv)],
        uri: str = "qemu:///system",
    ) -> None:  # fmt: skip
        """:param inside: makes of an argv the one that runs it where libvirtd is (``Keeper.inside``)."""
        self.inside = inside
        self.uri = uri

    def run(self, *words: str, check: bool = True, timeout: float = 60) -> str:
        """One command of virsh(1), or several in one word with semicolons between; returns what it printed.

        :raises MachineLacks: libvirtd does not answer.
        :raises CommandFailed: virsh failed.
        """
        argv = self.inside(["virsh", "--quiet", "--connect", self.uri, *words])
        try:
            return command.run(argv, env={**os.environ, "LC_ALL": "C"}, check=check, timeout=timeout).stdout
        except CommandFailed as error:
            if NO_CONNECTION not in error.result.stderr:
                raise
            why = error.result.stderr.strip().splitlines()[-1].removeprefix("error: ")
            raise MachineLacks(
                f"libvirt does not answer: {why}",
                hint="start it: systemctl start libvirtd; you must be root or in the group libvirt",
            ) from error

    def domains(self) -> dict[str, DomainState]:
        """Every domain and its state."""
        return parse_domains(self.run("list", "--all", "--managed-save"))

    def uuids(self) -> dict[str, str]:
        """Every domain and its UUID, which is what Vagrant knows it by."""
        rows = (line.split() for line in self.run("list", "--all", "--uuid", "--name").splitlines() if line.strip())
        return {name: uuid for uuid, name in rows}

    def power_off(self, domains: Sequence[str]) -> None:
        """Pull the plug: the links of all first, so that nothing of a dying machine reaches another; then theirs."""
        states = self.domains()
        running = [domain for domain in domains if states.get(domain) == "running"]
        if not running:
            return
        links = [(domain, mac) for domain in running for mac in parse_macs(self.run("domiflist", domain))]
        # libvirt refuses to cut a link whose network has gone, which carries nothing any more.
        self._all((["domif-setlink", domain, mac, "down"] for domain, mac in links), check=False)
        self._all(["destroy", domain] for domain in running)

    def pause(self, domains: Sequence[str]) -> None:
        self._all(["suspend", domain] for domain in domains)

    def unpause(self, domains: Sequence[str]) -> None:
        # Refused for one that is saved on disk or off.
        self._all((["resume", domain] for domain in domains), check=False)

    def orphan_volumes(self, pool: str, *domains: str) -> list[str]:
        """The volumes of those of ``domains`` that are not defined: left by one that was undefined behind Vagrant's
        back. Vagrant would neither use nor remove them."""
        volumes = {line.split()[0] for line in self.run("vol-list", pool).splitlines() if line.strip()}
        defined = self.domains()
        return [f"{domain}.img" for domain in domains if domain not in defined and f"{domain}.img" in volumes]

    def delete_volumes(self, pool: str, names: Sequence[str]) -> None:
        self._all(["vol-delete", name, "--pool", pool] for name in names)

    def remove_domain(self, domain: str, pool: str) -> None:
        """Destroy and undefine a domain, with its saved state and its volume."""
        states = self.domains()
        if states.get(domain) == "running":
            self.run("destroy", domain)
        if domain in states:
            self.run("undefine", domain, "--managed-save", "--snapshots-metadata", "--nvram")
        self.delete_volumes(pool, self.orphan_volumes(pool, domain))

    def _all(self, commands: Iterable[Sequence[str]], *, check: bool = True) -> None:
        """Several commands by one virsh: starting it costs more than most of them. One that fails does not stop it."""
        if text := "; ".join(shlex.join(words) for words in commands):
            self.run(text, check=check)


def parse_domains(table: str) -> dict[str, DomainState]:
    """Read what `virsh --quiet list --all --managed-save` prints: id, name and state, which may be two words."""
    rows = (line.split(None, 2) for line in table.splitlines() if line.strip())
    return {name: _STATES.get(state.strip(), "running") for _, name, state in rows}


def parse_macs(table: str) -> list[str]:
    """Read what `virsh --quiet domiflist` prints: interface, type, source, model and MAC address."""
    return [line.split()[-1] for line in table.splitlines() if line.strip()]
