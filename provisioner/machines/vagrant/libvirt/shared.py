"""The machine's own libvirt, used as Vagrant uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from provisioner.machines.vagrant import emulation
from provisioner.machines.vagrant.box import Box
from provisioner.machines.vagrant.client import VagrantState
from provisioner.machines.vagrant.description import FOLDER, Libvirt
from provisioner.machines.vagrant.libvirt.virsh import Virsh
from provisioner.machines.vagrant.shared import SharedHypervisor
from provisioner.state import LabFolder, Record

POOL = "default"


class SharedLibvirt(SharedHypervisor):
    def __init__(self, lab: LabFolder, record: Record) -> None:
        super().__init__(lab, record)
        self.settings = record.spec.virtual
        self.virsh = Virsh()

    def preflight(self) -> list[str]:
        self.virsh.domains()  # whether it answers, before anything is made
        return []

    def start(self, ours: Box | None) -> Libvirt:  # noqa: ARG002
        if not self.settings.emulated:
            return Libvirt()
        wrapper = emulation.write_wrapper(self.lab.path / FOLDER / "emulator")
        return Libvirt(driver="qemu", emulator=str(wrapper))

    def states(self) -> Mapping[str, VagrantState] | None:
        """From libvirt: Vagrant takes a saved machine for a halted one."""
        return {
            name.removeprefix(self.prefix): state
            for name, state in self.virsh.domains().items()
            if name.startswith(self.prefix)
        }

    def power_off(self, names: Sequence[str]) -> None:
        self.virsh.power_off([f"{self.prefix}{name}" for name in names])

    def pause(self, names: Sequence[str]) -> None:
        self.virsh.pause([f"{self.prefix}{name}" for name in names])

    def unpause(self, names: Sequence[str]) -> None:
        self.virsh.unpause([f"{self.prefix}{name}" for name in names])

    def forget(self, name: str) -> None:
        self.virsh.remove_domain(f"{self.prefix}{name}", POOL)
