"""What a hypervisor does for the vagrant provider beside what Vagrant itself does, the same for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from provisioner.machines.vagrant.box import Box
from provisioner.machines.vagrant.client import Access, VagrantState
from provisioner.machines.vagrant.description import Libvirt
from provisioner.state import LabFolder, Record


class Hypervisor(Protocol):
    prefix: str
    """What its names of the lab's machines begin with."""
    vagrant_home: Path | None
    """VAGRANT_HOME; None: the user's own."""

    def inside(self, argv: Sequence[str | Path], /) -> list[str]:
        """The argv that runs a program where it reaches the hypervisor."""

    def preflight(self) -> list[str]:
        """What the user should know.

        :raises ProvisionError: it cannot make these machines here.
        """

    def working(self) -> AbstractContextManager[None]: ...

    def start(self, ours: Box | None) -> Libvirt:
        """Be ready to make machines; repairs what is missing.

        :param ours: our own, where the machines are made from it.
        :returns: what the description says of libvirt; its defaults for any other hypervisor.
        """

    def states(self) -> Mapping[str, VagrantState] | None:
        """The states of the lab's machines by their own names, absent ones left out; None: only Vagrant knows."""

    def power_off(self, names: Sequence[str]) -> None:
        """Pull the plug: the links of all first, then the machines."""

    def pause(self, names: Sequence[str]) -> None:
        """Stop machines where they are, their memory where it is."""

    def unpause(self, names: Sequence[str]) -> None:
        """Let paused machines go on; others stay what they are."""

    def forget(self, name: str) -> None:
        """Remove what is left of a machine that Vagrant does not know any more, such as its volume."""

    def access(self, names: Sequence[str]) -> Mapping[str, Access] | None:
        """How ssh reaches machines; None: as `vagrant ssh-config` has it."""

    def proxy(self) -> str:
        """The ProxyCommand to the machines, or an empty string."""

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """Puts a program that outlives `provision` where `down` finds it."""

    def activity(self) -> object:
        """A value that changes while machines do something."""

    def console(self, name: str) -> str:
        """The last lines of a machine's serial console."""


def of(lab: LabFolder, record: Record) -> Hypervisor:
    """The hypervisor of a lab."""
    settings = record.spec.virtual
    if settings.isolated:
        from provisioner.machines.vagrant.libvirt.own import OwnLibvirt  # noqa: PLC0415 (Linux only)

        return OwnLibvirt(lab, record)
    if settings.hypervisor == "libvirt":
        from provisioner.machines.vagrant.libvirt.shared import SharedLibvirt  # noqa: PLC0415

        return SharedLibvirt(lab, record)
    if settings.hypervisor == "lxc":
        from provisioner.machines.vagrant.lxc import VagrantLxc  # noqa: PLC0415

        return VagrantLxc(lab, record)
    from provisioner.machines.vagrant.virtualbox import VirtualBox  # noqa: PLC0415

    return VirtualBox(lab, record)
