"""What each of Vagrant's providers wants in a box.

Boxes: developer.hashicorp.com/vagrant/docs/boxes/format; libvirt's: the README of vagrant-libvirt, "Create Box".
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provisioner.lab import Base
from provisioner.machines.vagrant.box import archive, bootloader, image, kernel
from provisioner.machines.vagrant.box.definition import DISK_BYTES, Definition, Format
from provisioner.machines.vagrant.box.rootfs import RootArchive

_HERE = Path(__file__).parent

# OVF's number and VirtualBox's word for what the disk is attached to. Debian 12's cloud kernel has no AHCI.
_CONTROLLERS: dict[Base, tuple[int, str]] = {"trixie": (20, "AHCI"), "bookworm": (5, "PIIX4")}


@dataclass(frozen=True)
class Parts:
    """What a format is made from and where. ``doing`` is told what is going on."""

    box: Definition
    root: RootArchive
    folder: Path
    target: Path
    doing: Callable[[str], None]


def libvirt(parts: Parts) -> None:
    """The kernel and the initrd beside the disk, which has no boot loader: the command line names the machine."""
    folder = parts.folder
    parts.doing("taking the kernel out of the root")
    kernel.write(parts.root, folder)
    parts.doing("writing the file system")
    image.file_system(parts.root.path, folder / "box.raw")
    image.qcow2(folder / "box.raw", folder / "box.img")
    (folder / "box.raw").unlink()
    parts.doing("packing the box")
    metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": DISK_BYTES >> 30}
    (folder / "metadata.json").write_text(json.dumps(metadata) + "\n")
    (folder / "vmlinuz").unlink()
    archive.pack(
        parts.target,
        {
            "Vagrantfile": _HERE / "Vagrantfile.libvirt",
            **{name: folder / name for name in ("box.img", "initrd", "metadata.json", "vmlinux")},
        },
    )


def virtualbox(parts: Parts) -> None:
    """An appliance in OVF: a disk with a boot loader. Vagrant itself names the machine and gives it its address."""
    folder = parts.folder
    parts.doing("writing a disk that boots by itself")
    bootloader.write(parts.root, folder, folder / "box.raw")
    disk = folder / "box-disk001.vmdk"
    image.vmdk(folder / "box.raw", disk)
    (folder / "box.raw").unlink()
    parts.doing("packing the box")
    (folder / "metadata.json").write_text(json.dumps({"provider": "virtualbox"}) + "\n")
    (folder / "box.ovf").write_text(appliance(parts.box.base, disk.stat().st_size))
    archive.pack(
        parts.target,
        {
            "Vagrantfile": _HERE / "Vagrantfile.virtualbox",
            **{name: folder / name for name in ("box-disk001.vmdk", "box.ovf", "metadata.json")},
        },
    )
    disk.unlink()


def appliance(base: Base, size: int) -> str:
    """The machine as OVF describes it.

    :param size: of the disk's file, in bytes.
    """
    kind, name = _CONTROLLERS[base]
    values = {"CAPACITY": str(DISK_BYTES), "SIZE": str(size), "CONTROLLER_TYPE": str(kind), "CONTROLLER": name}
    return string.Template((_HERE / "box.ovf").read_text()).substitute(values)


def lxc(parts: Parts) -> None:
    """A root folder and a container's configuration, without kernel. Format: vagrant-lxc's wiki, "Base boxes"."""
    folder = parts.folder
    parts.doing("packing the root")
    plain = folder / "rootfs.tar"
    parts.root.below("rootfs", plain, without=("boot/", "usr/lib/modules/", "dev/"))
    archive.gzip(plain, folder / "rootfs.tar.gz")
    metadata = {"provider": "lxc", "version": "1.0.0"}
    (folder / "metadata.json").write_text(json.dumps(metadata) + "\n")
    archive.pack(
        parts.target,
        {
            "lxc-config": _HERE / "lxc-config",
            **{name: folder / name for name in ("metadata.json", "rootfs.tar.gz")},
        },
    )
    (folder / "rootfs.tar.gz").unlink()


WRITERS: dict[Format, Callable[[Parts], None]] = {"libvirt": libvirt, "lxc": lxc, "virtualbox": virtualbox}
