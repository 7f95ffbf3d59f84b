"""Which provider a lab is on."""

from __future__ import annotations

from provisioner.errors import UsageError
from provisioner.machines import Provider
from provisioner.state import LabFolder, Record

PROVIDERS = ("lxc",)


def provider(lab: LabFolder, record: Record) -> Provider:
    """The provider that made this lab, or will.

    :raises UsageError: there is no such provider.
    """
    if record.spec.provider == "lxc":
        from provisioner.machines.lxc.provider import LxcProvider  # noqa: PLC0415 (only where it can work)

        return LxcProvider(lab, record)
    raise UsageError(f"there is no provider {record.spec.provider!r}", hint=f"there are: {', '.join(PROVIDERS)}")


def destroy(lab: LabFolder) -> None:
    """Take a lab's machines and its folder away, whatever state they are in. May be repeated.

    Works without the lab's record, which may be damaged; what other providers make will have to be found as well.

    :raises ProvisionError: something is left that cannot be removed.
    """
    from provisioner.machines.lxc import remains  # noqa: PLC0415

    remains.remove(lab)
