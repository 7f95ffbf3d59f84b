"""VirtualBox: the usual hypervisor of a laptop. Never run where this was written; its manual and Vagrant's source are
what this goes by."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from provisioner import command
from provisioner.machines.vagrant.box import Box
from provisioner.machines.vagrant.client import Access, VagrantState
from provisioner.machines.vagrant.description import Libvirt
from provisioner.state import LabFolder, Record


class VirtualBox:
    vagrant_home: Path | None = None

    def __init__(self, lab: LabFolder, record: Record) -> None:
        self.lab = lab
        self.prefix = f"{record.spec.name}-{record.id}-"

    def inside(self, argv: Sequence[str | Path]) -> list[str]:
        return [str(word) for word in argv]

    def preflight(self) -> list[str]:
        return []

    def working(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def start(self, ours: Box | None) -> Libvirt:  # noqa: ARG002
        return Libvirt()

    def states(self) -> Mapping[str, VagrantState] | None:
        return None

    def power_off(self, names: Sequence[str]) -> None:
        for name in names:  # a lost cable is seen by nobody before the machine is gone too
            command.run(["VBoxManage", "controlvm", f"{self.prefix}{name}", "setlinkstate2", "off"], check=False)
        for name in names:
            command.run(["VBoxManage", "controlvm", f"{self.prefix}{name}", "poweroff"])

    def forget(self, name: str) -> None:
        pass  # Vagrant removes its own disks with the machine

    def access(self, names: Sequence[str]) -> Mapping[str, Access] | None:  # noqa: ARG002
        return None  # by forwarded ports, which Vagrant chooses

    def proxy(self) -> str:
        return ""

    def wrap(self, argv: Sequence[str]) -> list[str]:
        return list(argv)

    def activity(self) -> object:
        return None

    def console(self, name: str) -> str:  # noqa: ARG002
        return ""  # VirtualBox shows it in its own window
