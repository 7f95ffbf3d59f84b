"""Which provider a lab is on, and which one it would be on where the user names none."""

from __future__ import annotations

import os
import sys

from provisioner import command
from provisioner.errors import MachineLacks, UsageError
from provisioner.machines import Provider
from provisioner.state import LabFolder, Record

PROVIDERS = ("lxc", "vagrant", "inventory")


def default() -> tuple[str, str]:
    """The provider for this user on this machine, and why it is that one."""
    if not sys.platform.startswith("linux"):
        return "vagrant", "this machine is not Linux"
    if os.geteuid() != 0:
        return "vagrant", "Linux without root; as root it would be lxc"
    return "lxc", "Linux, root"


def provider(lab: LabFolder, record: Record) -> Provider:
    """The provider that made this lab, or will.

    :raises UsageError: there is no such provider.
    :raises MachineLacks: it cannot work here, or not for this user.
    """
    # Imported where they are chosen: lxc needs Linux, vagrant a library that the others do without.
    spec = record.spec
    if spec.provider == "lxc" or (spec.vagrant is not None and spec.vagrant.isolated):
        require_root("namespaces and mounts of the lab's own")
    if spec.provider == "lxc":
        from provisioner.machines.lxc.provider import LxcProvider  # noqa: PLC0415

        return LxcProvider(lab, record)
    if spec.provider == "vagrant":
        from provisioner.machines.vagrant.provider import VagrantProvider  # noqa: PLC0415

        return VagrantProvider(lab, record)
    if spec.provider == "inventory":
        from provisioner.machines.inventory.provider import InventoryProvider  # noqa: PLC0415

        return InventoryProvider(lab, record)
    raise UsageError(f"there is no provider {spec.provider!r}", hint=f"there are: {', '.join(PROVIDERS)}")


def require_root(what: str) -> None:
    """:param what: what takes root, as a noun.

    :raises MachineLacks: the user is not root, or this is not Linux.
    """
    if not sys.platform.startswith("linux"):
        raise MachineLacks(
            f"{what} need Linux", hint="provision up --provider vagrant makes virtual machines on this one"
        )
    if os.geteuid() != 0:
        raise MachineLacks(
            f"{what} take root",
            hint="run the command with sudo, or take virtual machines: --provider vagrant; "
            "`provision doctor` tells what else is needed",
        )


def destroy(lab: LabFolder) -> None:
    """Take a lab's machines and its folder away, whatever state they are in. May be repeated.

    Works without the lab's record, which may be damaged: each provider knows its own by what it left in the folder.

    :raises ProvisionError: something is left that cannot be removed.
    """
    from provisioner.machines.inventory import remains as handed_over  # noqa: PLC0415
    from provisioner.machines.vagrant import remains as virtual  # noqa: PLC0415

    handed_over.remove(lab)
    virtual.remove(lab)
    if sys.platform.startswith("linux") and os.geteuid() == 0:
        from provisioner.machines.namespaces import remains as namespaces  # noqa: PLC0415

        namespaces.remove(lab)
    # On Linux the folder may have been a mount point in the lab's namespace, which is gone; this makes sure.
    guard = ["--one-file-system"] if sys.platform.startswith("linux") else []
    command.run(["rm", "-rf", *guard, lab.path], timeout=300)
