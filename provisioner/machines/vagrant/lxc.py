"""LXC containers through Vagrant (the vagrant-lxc plug-in)."""

from __future__ import annotations

from collections.abc import Sequence

from provisioner import command
from provisioner.machines.vagrant.shared import SharedHypervisor


class VagrantLxc(SharedHypervisor):
    def preflight(self) -> list[str]:
        return ["`--provider lxc` makes the same containers in a tenth of the time, in a network of their own"]

    def power_off(self, names: Sequence[str]) -> None:
        for name in names:
            command.run(["lxc-stop", "--kill", "--name", f"{self.prefix}{name}"])

    def pause(self, names: Sequence[str]) -> None:
        for name in names:
            command.run(["lxc-freeze", "--name", f"{self.prefix}{name}"])

    def unpause(self, names: Sequence[str]) -> None:
        for name in names:
            command.run(["lxc-unfreeze", "--name", f"{self.prefix}{name}"], check=False)
