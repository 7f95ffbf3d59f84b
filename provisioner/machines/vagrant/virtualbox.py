"""VirtualBox: the usual hypervisor of a laptop.

Never run where this was written; its manual (chapter 8, VBoxManage) and Vagrant's source are what this goes by.
"""

from __future__ import annotations

from collections.abc import Sequence

from provisioner import command
from provisioner.machines.vagrant.shared import SharedHypervisor


class VirtualBox(SharedHypervisor):
    def power_off(self, names: Sequence[str]) -> None:
        # The second card is the lab's network. That its cable could not be pulled is no reason to keep the machine on.
        for name in names:
            command.run(["VBoxManage", "controlvm", f"{self.prefix}{name}", "setlinkstate2", "off"], check=False)
        for name in names:
            command.run(["VBoxManage", "controlvm", f"{self.prefix}{name}", "poweroff"])

    def pause(self, names: Sequence[str]) -> None:
        for name in names:
            command.run(["VBoxManage", "controlvm", f"{self.prefix}{name}", "pause"])

    def unpause(self, names: Sequence[str]) -> None:
        for name in names:  # refused for one that is not paused
            command.run(["VBoxManage", "controlvm", f"{self.prefix}{name}", "resume"], check=False)
