"""A disk that boots by itself from a BIOS: a partition table, GRUB in the gap behind it, and one partition.

Everything is written into a file: no loop device, no mount, no root. An MBR's partition table lies at byte 446; GRUB's
boot.img reads sector 1, where core.img begins, unless it is told otherwise (grub-core/boot/i386/pc/boot.S).
"""

from __future__ import annotations

import struct
from pathlib import Path

from provisioner.errors import ProvisionError
from provisioner.machines.vagrant.box import image, kernel, tools
from provisioner.machines.vagrant.box.definition import DISK_BYTES
from provisioner.machines.vagrant.box.rootfs import RootArchive

SECTOR = 512
FIRST = 1 << 20  # where partitions begin by custom, which leaves a megabyte for GRUB
DISK_ID = 0x50524F56
_MODULES = ("biosdisk", "part_msdos", "ext2", "linux", "normal", "configfile", "search_fs_uuid")
_LINUX = 0x83

# On a machine without a serial port the screen is the last console that there is, and gets what systemd says.
COMMAND_LINE = (
    f"root=UUID={image.UUID} rw rootfstype=ext4 fsck.mode=skip net.ifnames=0 console=tty0 console=ttyS0,115200"
)


def write(root: RootArchive, folder: Path, disk: Path) -> None:
    """Write a raw disk image that boots a root.

    :param folder: takes what is needed in between.
    """
    version = root.find(r"boot/vmlinuz-.*").removeprefix("boot/vmlinuz-")
    menu = f"linux /boot/vmlinuz-{version} {COMMAND_LINE}\ninitrd /boot/initrd.img-{version}\nboot\n"
    complete = folder / "bootable.tar"
    root.with_files(
        complete, {"boot/grub.cfg": menu.encode(), f"boot/initrd.img-{version}": kernel.initrd(root, kernel.VIRTUALBOX)}
    )
    image.file_system(complete, disk, offset=FIRST)
    complete.unlink()
    core = _core(folder)
    with disk.open("r+b") as file:
        file.write(master_boot_record(tools.file("usr/lib/grub/i386-pc/boot.img").read_bytes()))
        file.write(core)


def _core(folder: Path) -> bytes:
    """GRUB with all that it needs to read its menu from the root: nothing else of it is in the machine."""
    early, core = folder / "early.cfg", folder / "core.img"
    early.write_text(f"search.fs_uuid {image.UUID} root\nset prefix=($root)/boot\nconfigfile /boot/grub.cfg\n")
    tools.run(
        "grub-mkimage",
        [
            "--directory", tools.file("usr/lib/grub/i386-pc"), "--format", "i386-pc", "--prefix", "/boot",
            "--config", early, "--output", core, *_MODULES,
        ],
    )  # fmt: skip
    content = core.read_bytes()
    early.unlink()
    core.unlink()
    if len(content) > FIRST - SECTOR:
        raise ProvisionError(f"GRUB's core of {len(content)} bytes does not fit before the first partition")
    return content


def master_boot_record(boot: bytes) -> bytes:
    """The first sector: GRUB's first stage and a table of one active partition that takes the rest of the disk."""
    # Cylinders, heads and sectors: "use the block numbers".
    beyond = b"\xfe\xff\xff"
    partition = struct.pack("<B3sB3sII", 0x80, beyond, _LINUX, beyond, FIRST // SECTOR, (DISK_BYTES - FIRST) // SECTOR)
    return boot[:440] + struct.pack("<IH", DISK_ID, 0) + partition + bytes(48) + b"\x55\xaa"
