"""What virtual machines a new lab gets, where the user leaves it open."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from provisioner import lab, state
from provisioner.errors import ProvisionError, UsageError
from provisioner.lab import DEFAULT_BASE, DEFAULT_SUBNET, HYPERVISORS, Base, Hypervisor, LabSpec, VagrantSpec
from provisioner.machines.vagrant import box, emulation
from provisioner.machines.vagrant.box import Box
from provisioner.state import LabFolder

USER = "vagrant"  # by Vagrant's convention for boxes, with sudo without a password
# What VirtualBox allows for host-only networks without configuration, since 6.1.28 (its manual, section 6.7).
RANGE = IPv4Network("192.168.56.0/21")


def describe(folder: LabFolder, options: Mapping[str, Any], plain: Mapping[str, Any]) -> tuple[LabSpec, str]:
    """The spec of a new lab of virtual machines, and why it is made of what it is made of.

    :param options: the user's choices among the fields of :class:`VagrantSpec`.
    :param plain: the user's choices among the arguments of :func:`provisioner.lab.describe`.
    :raises UsageError: what was asked for cannot be.
    """
    chosen, why = hypervisor(options)
    isolated = bool(options.get("isolated", False))
    if isolated and chosen != "libvirt":
        raise UsageError(
            f"only libvirt can be the lab's own, and this lab is on {chosen}", hint="add --hypervisor libvirt"
        )
    base: Base = plain.get("base", DEFAULT_BASE)
    named = str(options.get("box", ""))
    ours = None if named else box.best(base, chosen)
    emulated = chosen == "libvirt" and not _kvm_works(ours)
    if emulated:
        why += "; KVM does not work on this machine"
    spec = lab.describe(
        name=folder.name, provider="vagrant", user=USER,
        vagrant=VagrantSpec(**{**options, "hypervisor": chosen, "isolated": isolated, "emulated": emulated,
                               "packages": ours is not None and ours.docker}),
        **{
            **plain,
            "base": None if named else base,
            "subnet": plain.get("subnet") or (DEFAULT_SUBNET if isolated else _free_subnet(chosen)),
        },
    )  # fmt: skip
    return spec, why


def hypervisor(options: Mapping[str, Any]) -> tuple[Hypervisor, str]:
    """What Vagrant makes machines with here, and why."""
    if asked := options.get("hypervisor"):
        return asked, "as asked for"
    if options.get("isolated"):
        return "libvirt", "the one that a lab can have of its own"
    variable = os.environ.get("VAGRANT_DEFAULT_PROVIDER", "")
    for known in HYPERVISORS:
        if variable == known:
            return known, "VAGRANT_DEFAULT_PROVIDER says so"
    if shutil.which("VBoxManage"):
        return "virtualbox", "VirtualBox is on this machine"
    if sys.platform.startswith("linux") and shutil.which("virsh"):
        return "libvirt", "libvirt is on this machine, VirtualBox is not"
    return "virtualbox", "the one that every system has; it is not on this machine yet"


def _kvm_works(ours: Box | None) -> bool:
    kernels = [ours.kernel] if ours and ours.kernel else sorted(Path("/boot").glob("vmlinuz-*"), reverse=True)
    # Without any kernel to boot there is nothing to try with: what opens is believed.
    return emulation.kvm_works(kernels[0]) if kernels else os.access("/dev/kvm", os.R_OK | os.W_OK)


def _free_subnet(hypervisor: Hypervisor) -> IPv4Network:
    """The first /24 that no other lab on the same hypervisor has: they share one network of this machine."""
    taken = list(_taken(hypervisor))
    for subnet in RANGE.subnets(new_prefix=24):
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise UsageError(
        f"every /24 of {RANGE} is in use by a lab on {hypervisor}",
        hint="take one away (provision list; provision down --name LAB), or name another subnet: --subnet",
    )


def _taken(hypervisor: Hypervisor) -> Iterator[IPv4Network]:
    for name in state.lab_names():
        try:
            spec = state.load(state.folder(name)).spec
        except ProvisionError:  # damaged, or of another version: it is named when somebody works on it
            continue
        if spec.subnet and spec.vagrant and spec.vagrant.hypervisor == hypervisor and not spec.vagrant.isolated:
            yield spec.subnet
