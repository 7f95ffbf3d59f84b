"""The machine's own libvirt, used as Vagrant uses it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from provisioner.lab import VagrantSpec
from provisioner.machines.vagrant import emulation
from provisioner.machines.vagrant.box import Box
from provisioner.machines.vagrant.client import Access, VagrantState
from provisioner.machines.vagrant.description import Libvirt
from provisioner.machines.vagrant.libvirt.virsh import Virsh
from provisioner.state import LabFolder, Record

POOL = "default"


class SharedLibvirt:
    vagrant_home: Path | None = None

    def __init__(self, lab: LabFolder, record: Record) -> None:
        self.lab = lab
        self.settings = record.spec.vagrant or VagrantSpec(hypervisor="libvirt")
        self.prefix = f"{record.spec.name}-{record.id}-"
        self.virsh = Virsh()

    def inside(self, argv: Sequence[str | Path]) -> list[str]:
        return [str(word) for word in argv]

    def preflight(self) -> list[str]:
        return []

    def working(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def start(self, ours: Box | None) -> Libvirt:  # noqa: ARG002
        if not self.settings.emulated:
            return Libvirt()
        wrapper = emulation.write_wrapper(self.lab.path / "vagrant" / "emulator")
        return Libvirt(driver="qemu", emulator=str(wrapper))

    def states(self) -> Mapping[str, VagrantState] | None:
        return {
            name.removeprefix(self.prefix): state
            for name, state in self.virsh.domains().items()
            if name.startswith(self.prefix)
        }

    def power_off(self, names: Sequence[str]) -> None:
        self.virsh.power_off([f"{self.prefix}{name}" for name in names])

    def forget(self, name: str) -> None:
        self.virsh.remove_domain(f"{self.prefix}{name}", POOL)

    def access(self, names: Sequence[str]) -> Mapping[str, Access] | None:  # noqa: ARG002
        return None

    def proxy(self) -> str:
        return ""

    def wrap(self, argv: Sequence[str]) -> list[str]:
        return list(argv)

    def activity(self) -> object:
        return None

    def console(self, name: str) -> str:  # noqa: ARG002
        return ""  # virsh console shows it
