"""The hypervisor of an isolated lab: a libvirt of its own, with its machines and networks in the lab's namespaces."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from provisioner.errors import MachineLacks
from provisioner.machines import consoles
from provisioner.machines.namespaces.cgroup import LabCgroup
from provisioner.machines.namespaces.keeper import Keeper
from provisioner.machines.vagrant.box import Box
from provisioner.machines.vagrant.client import Access, VagrantState
from provisioner.machines.vagrant.description import Libvirt
from provisioner.machines.vagrant.libvirt import isolated
from provisioner.machines.vagrant.libvirt.isolated import IsolatedLibvirt
from provisioner.state import LabFolder, Record

TUNNELS = "tunnels"


class OwnLibvirt:
    prefix = isolated.PREFIX

    def __init__(self, lab: LabFolder, record: Record) -> None:
        self.lab = lab
        self.spec = record.spec
        self.settings = record.spec.virtual
        self.cgroup = LabCgroup(record.mark)
        self.keeper = Keeper(lab, self.cgroup)
        self.libvirt = IsolatedLibvirt(lab, record.spec, self.keeper)
        self.vagrant_home: Path | None = self.libvirt.vagrant_home

    def inside(self, argv: Sequence[str | Path]) -> list[str]:
        return self.keeper.inside(argv)

    def preflight(self) -> list[str]:
        if missing := isolated.missing_programs():
            raise MachineLacks(f"a libvirt of the lab's own needs {', '.join(missing)}", hint="provision doctor")
        return []

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        self.cgroup.kill("work")
        with self.cgroup.joined("work"):
            yield

    def start(self, ours: Box | None) -> Libvirt:
        self.keeper.start()
        self.libvirt.start()
        if ours is not None:
            self.libvirt.place(ours)
        return self.libvirt.settings("qemu" if self.settings.emulated else "kvm")

    def states(self) -> Mapping[str, VagrantState] | None:
        if self.keeper.pid is None:
            return self.libvirt.at_rest()  # after a reboot of this machine, for one
        return dict(self.libvirt.virsh.domains())

    def power_off(self, names: Sequence[str]) -> None:
        self.libvirt.virsh.power_off(names)

    def pause(self, names: Sequence[str]) -> None:
        self.libvirt.virsh.pause(names)

    def unpause(self, names: Sequence[str]) -> None:
        self.libvirt.virsh.unpause(names)

    def forget(self, name: str) -> None:
        orphans = self.libvirt.virsh.orphan_volumes(isolated.POOL, name)
        self.libvirt.virsh.delete_volumes(isolated.POOL, orphans)

    def access(self, names: Sequence[str]) -> Mapping[str, Access] | None:
        return {
            name: Access(str(self.spec.host(name).address), 22, self.spec.host(name).user, self.libvirt.user_key)
            for name in names
        }

    def proxy(self) -> str:
        return f'nsenter --net="{self.keeper.network}" nc %h %p'

    def wrap(self, argv: Sequence[str]) -> list[str]:
        return self.cgroup.joining(TUNNELS, argv)

    def activity(self) -> object:
        return self.libvirt.activity()

    def console(self, name: str) -> str:
        return consoles.tail(self.libvirt.console(name))
