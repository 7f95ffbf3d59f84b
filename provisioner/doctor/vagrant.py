"""What labs of virtual machines need of this machine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from provisioner.doctor.finding import Finding, disk, memory, programs
from provisioner.errors import MachineLacks
from provisioner.lab import DEFAULT_MEMORY
from provisioner.machines.vagrant import choice
from provisioner.machines.vagrant.client import VagrantClient

PROVIDER = "vagrant"
DISK_NEEDED_GIB = 4  # a box of 0.7 GB, unpacked twice by Vagrant and libvirt, and what three machines write


def examine() -> Iterator[Finding]:
    yield from _system()
    yield programs(PROVIDER, {"ssh": "openssh-client", "ssh-keyscan": "openssh-client"}, "no machine can be reached")
    yield _vagrant()
    yield from _hypervisors()
    yield from _box_tools()
    yield memory(PROVIDER, needed=3 * DEFAULT_MEMORY, per_host=DEFAULT_MEMORY)
    yield disk(PROVIDER, needed=DISK_NEEDED_GIB)


def _system() -> Iterator[Finding]:
    if sys.platform == "win32":
        yield Finding(
            PROVIDER, "system", "missing", "Windows", "Ansible does not run on it",
            "wsl --install -d Debian, then provision inside of it",
        )  # fmt: skip
    elif _is_wsl():
        yield Finding(
            PROVIDER, "system", "advice", "Windows Subsystem for Linux",
            "Vagrant reaches VirtualBox on Windows only with VAGRANT_WSL_ENABLE_WINDOWS_ACCESS=1",
            "export VAGRANT_WSL_ENABLE_WINDOWS_ACCESS=1",
        )  # fmt: skip
    else:
        yield Finding(PROVIDER, "system", "ok", sys.platform)


def _is_wsl() -> bool:
    release = Path("/proc/sys/kernel/osrelease")
    return release.exists() and "microsoft" in release.read_text().lower()


def _vagrant() -> Finding:
    hypervisor, _ = choice.hypervisor({})
    try:
        VagrantClient(Path.cwd(), hypervisor, new_log=lambda _: Path(os.devnull)).preflight()
    except MachineLacks as error:
        return Finding(PROVIDER, "Vagrant", "missing", error.message, "no virtual machine can be made", error.hint)
    return Finding(PROVIDER, "Vagrant", "ok", f"there, and makes machines with {hypervisor}")


def _hypervisors() -> Iterator[Finding]:
    virtualbox, virsh = shutil.which("VBoxManage"), shutil.which("virsh")
    if virtualbox:
        yield Finding(PROVIDER, "VirtualBox", "ok", virtualbox)
    if virsh:
        yield Finding(PROVIDER, "libvirt", "ok", virsh)
        yield _kvm()
    if not virtualbox and not virsh:
        cure = (
            "apt-get install --no-install-recommends libvirt-daemon-system libvirt-clients qemu-system-x86 "
            "vagrant-libvirt"
            if sys.platform.startswith("linux")
            else "install VirtualBox from virtualbox.org"
        )
        yield Finding(PROVIDER, "hypervisor", "missing", "no VirtualBox, no libvirt", "no virtual machine runs", cure)


def _box_tools() -> Iterator[Finding]:
    if not sys.platform.startswith("linux"):
        return
    tools = {"mmdebstrap": "mmdebstrap", "qemu-img": "qemu-utils"}
    if os.geteuid() != 0:
        tools["newuidmap"] = "uidmap"
    found = programs(PROVIDER, tools, "no box of our own can be built; --box names another")
    yield replace(found, subject="box tools", verdict="advice" if found.verdict == "missing" else "ok")


def _kvm() -> Finding:
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        # Whether it works is found by booting a kernel, when a lab is made: a device that opens proves nothing.
        return Finding(PROVIDER, "KVM", "ok", "/dev/kvm opens; `up` tries whether it works")
    seen = "no right to open /dev/kvm" if Path("/dev/kvm").exists() else "no /dev/kvm"
    return Finding(
        PROVIDER, "KVM", "advice", seen, "machines are emulated in software: five times slower",
        f"adduser {os.environ.get('USER', 'USER')} kvm" if Path("/dev/kvm").exists() else "",
    )  # fmt: skip
