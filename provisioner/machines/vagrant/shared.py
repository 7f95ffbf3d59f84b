"""A hypervisor of the machine's, shared with whatever else it runs: as Vagrant uses it. What is the same for all."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from provisioner.machines.vagrant.box import Box
from provisioner.machines.vagrant.client import Access, VagrantState
from provisioner.machines.vagrant.description import Libvirt
from provisioner.state import LabFolder, Record


class SharedHypervisor:
    vagrant_home: Path | None = None

    def __init__(self, lab: LabFolder, record: Record) -> None:
        self.lab = lab
        self.record = record
        self.prefix = f"{record.spec.name}-{record.id}-"

    def inside(self, argv: Sequence[str | Path], /) -> list[str]:
        return [str(word) for word in argv]

    def preflight(self) -> list[str]:
        return []

    def working(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def start(self, ours: Box | None) -> Libvirt:  # noqa: ARG002
        return Libvirt()

    def states(self) -> Mapping[str, VagrantState] | None:
        return None

    def forget(self, name: str) -> None:
        """Vagrant removes a machine's disks with the machine."""

    def access(self, names: Sequence[str]) -> Mapping[str, Access] | None:  # noqa: ARG002
        return None

    def proxy(self) -> str:
        return ""

    def wrap(self, argv: Sequence[str]) -> list[str]:
        return list(argv)

    def activity(self) -> object:
        return None

    def console(self, name: str) -> str:  # noqa: ARG002
        return ""  # the hypervisor shows it: a window of VirtualBox, `virsh console`, `lxc-console`
