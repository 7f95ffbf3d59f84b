"""The vagrant provider: virtual machines with their hostnames, made by the repository's Vagrantfile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from provisioner.errors import MachineLacks, ProvisionError
from provisioner.lab import DEFAULT_BASE, HostSpec
from provisioner.machines import Machine, MachineState, sockets, ssh
from provisioner.machines.tunnel import Tunnel
from provisioner.machines.vagrant import access, box, description, hypervisor, packages
from provisioner.machines.vagrant.client import VagrantClient
from provisioner.machines.vagrant.description import Description
from provisioner.progress import Progress
from provisioner.state import LabFolder, Record


class VagrantProvider:
    def __init__(self, lab: LabFolder, record: Record) -> None:
        self.lab = lab
        self.spec = record.spec
        self.settings = record.spec.virtual
        self.folder = lab.path / description.FOLDER
        self.hypervisor = hypervisor.of(lab, record)
        self.client = VagrantClient(
            self.folder, self.settings.hypervisor, inside=self.hypervisor.inside,
            home=self.hypervisor.vagrant_home, new_log=lab.new_log,
        )  # fmt: skip
        self.tunnels = {host.name: Tunnel(lab, host.name, self.hypervisor.wrap) for host in self.spec.hosts}

    def preflight(self) -> list[str]:
        # Asked from here: there may be no namespaces yet to ask from.
        VagrantClient(Path.cwd(), self.settings.hypervisor, new_log=self.lab.new_log).preflight()
        if self._described() is None:
            self._box()
        sockets.require_short(path for tunnel in self.tunnels.values() for path in tunnel.sockets)
        notes = self.hypervisor.preflight()
        if self.settings.emulated:
            notes.append("the machines are emulated in software: everything on them takes about five times as long")
        return notes

    def working(self) -> AbstractContextManager[None]:
        return self.hypervisor.working()

    def prepare(self, progress: Progress, *, converged_by: str, converge: Callable[[HostSpec], None] | None) -> bool:  # noqa: ARG002
        # What LXC hosts get from an image of a converged host, ours have in their box: all that the roles install
        # for Docker's own swarm mode. No box has swarmd.
        return self.settings.packages and self.spec.engine == "docker"

    # -- machines -------------------------------------------------------------------------------------------------

    def create(self, progress: Progress) -> dict[str, str]:
        return self.start([host.name for host in self.spec.hosts], progress)

    def start(self, names: Sequence[str], progress: Progress) -> dict[str, str]:
        self._describe()
        states = self._states()
        down = [name for name in names if states[name] != "running"]
        saved = [name for name in down if states[name] == "saved"]
        absent = [name for name in down if states[name] == "absent"]
        failure: ProvisionError | None = None
        if down:
            with progress.stage(f"{'Resuming' if saved == down else 'Starting'} {_machines(down)}"):
                for name in absent:
                    self.hypervisor.forget(name)
                    self.client.forget(name)
                try:
                    self.client.up(down, told=progress.host, activity=self.hypervisor.activity)
                except ProvisionError as error:
                    failure = error
        failures = self._reach(names, new=absent, booting=[name for name in names if name not in down])
        if failure and not failures:
            raise failure
        for name in saved:
            if name not in failures:
                access.set_clock(self.lab, name)
        return {name: failure.message if failure and name in down else reason for name, reason in failures.items()}

    def stop(self, names: Sequence[str], progress: Progress) -> None:
        self._hang_up(names)
        running = self._running(names)
        if running:
            with progress.stage(f"Shutting down {_machines(running)}"):
                self.client.halt(running, told=progress.host)

    def suspend(self, names: Sequence[str], progress: Progress) -> None:
        self._hang_up(names)
        running = self._running(names)
        if running:
            with progress.stage(f"Saving {_machines(running)}"):
                self.client.suspend(running, told=progress.host)

    def power_off(self, names: Sequence[str]) -> None:
        running = self._running(names)
        self.hypervisor.power_off(running)
        self._hang_up(running)

    def freeze(self, names: Sequence[str]) -> None:
        self.hypervisor.pause(self._running(names))
        self._hang_up(names)

    def thaw(self, names: Sequence[str]) -> None:
        states = self._states()
        paused = [name for name in names if states[name] == "saved"]
        if paused:
            self.hypervisor.unpause(paused)
        for name in paused:
            access.set_clock(self.lab, name)

    def machines(self) -> list[Machine]:
        states = self._states()
        with ThreadPoolExecutor(8) as pool:  # each may wait for a connection
            list(pool.map(lambda name: self.tunnels[name].open(), [n for n, s in states.items() if s == "running"]))
        return [Machine(host, states[host.name], self.tunnels[host.name].socket) for host in self.spec.hosts]

    @contextlib.contextmanager
    def converging(self) -> Iterator[Mapping[str, object]]:
        names = self._running([host.name for host in self.spec.hosts])
        serve: AbstractContextManager[Mapping[str, object]] = (
            contextlib.nullcontext({}) if self.settings.packages else packages.served(self.lab, names)
        )
        try:
            with serve as variables:
                yield variables
        finally:
            # The playbook has made the user one of Docker's group, which new logins have and old ones have not.
            self._hang_up(names)

    def console(self, name: str) -> str:
        return self.hypervisor.console(name)

    # -- parts ----------------------------------------------------------------------------------------------------

    def _running(self, names: Sequence[str]) -> list[str]:
        states = self._states()
        return [name for name in names if states[name] == "running"]

    def _described(self) -> Description | None:
        """What Vagrant was told when the lab's machines were first made: they keep their box for life."""
        return description.read(self.folder) if (self.folder / description.FILE).exists() else None

    def _box(self) -> box.Box | None:
        """The box of our own that machines are to be made from, or None where the user has named another.

        :raises MachineLacks: there is none of ours.
        """
        if self.settings.box:
            return None
        base = self.spec.base or DEFAULT_BASE
        found = box.find(base, self.settings.hypervisor, docker=self.settings.packages)
        if found is None:
            raise MachineLacks(
                f"there is no box of Debian {base} for {self.settings.hypervisor} on this machine yet",
                hint=f"make one: provision box build --base {base} --format {self.settings.hypervisor}, "
                "or name another: --box NAME, PATH or URL",
            )
        return found

    def _describe(self) -> None:
        """Have the hypervisor ready, and Vagrant told what the machines are."""
        before = self._described()
        ours = self._box() if before is None else None
        libvirt = self.hypervisor.start(ours)
        ssh.make_key(self.lab)
        if before is not None:
            description.write(self.folder, before.model_copy(update={"libvirt": libvirt}))
            return
        description.write(
            self.folder,
            Description(
                lab=self.lab.name, prefix=self.hypervisor.prefix, hypervisor=self.settings.hypervisor,
                box=description.box(ours, self.settings.box), memory=self.settings.memory, cpus=self.settings.cpus,
                netmask=str(self.spec.network.netmask), insert_key=ours is None, key=str(self.lab.key),
                machines=description.machines(self.spec.hosts), libvirt=libvirt,
            ),
        )  # fmt: skip

    def _states(self) -> dict[str, MachineState]:
        known = self.hypervisor.states()
        if known is None:
            known = self.client.status() if self._described() is not None else {}
        return {host.name: known.get(host.name, "absent") for host in self.spec.hosts}

    def _reach(self, names: Sequence[str], *, new: Sequence[str], booting: Sequence[str]) -> dict[str, str]:
        """Have the lab's key on the machines and its ssh_config lead to them.

        :param new: machines that were made a moment ago: their host keys are learnt, over a network of this machine.
        :param booting: machines that ran before, as far as that may be known.
        """
        states = self._states()
        failures = {name: f"{name} is {states[name]}" for name in names if states[name] != "running"}
        running = [name for name in names if name not in failures]
        found = self.hypervisor.access(running)
        if found is None:
            found = self.client.ssh_config()
        hosts = [self.spec.host(name) for name in running if name in found]
        failures |= access.establish(
            self.lab,
            self.spec,
            hosts,
            found,
            new=new,
            booting=booting,
            ours=not self.settings.box,
            hypervisor=self.hypervisor,
        )
        consoles = {name: self.console(name) for name in failures}
        return {
            name: f"{reason}; its console's last lines:\n{consoles[name]}" if consoles[name] else reason
            for name, reason in failures.items()
        }

    def _hang_up(self, names: Sequence[str]) -> None:
        """Connections to a machine that is gone would hang; one that is saved would keep them for ever."""
        for name in names:
            self.tunnels[name].close()
        ssh.hang_up(self.lab, names)


def _machines(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} virtual machines"
