"""A disk image with one ext4 file system that holds a root."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from provisioner import command
from provisioner.errors import ProvisionError
from provisioner.machines.vagrant.box import tools
from provisioner.machines.vagrant.box.definition import DISK_BYTES

# The descriptor follows the header of one sector and takes up to twenty.
_DESCRIPTOR_END = 21 * 512

# Fixed, because a random one would make every build another: machines of a box share them as they share its files.
UUID = str(uuid.uuid5(uuid.NAMESPACE_DNS, "root.box.provision"))


def file_system(root: Path, image: Path, *, offset: int = 0) -> None:
    """Write a root (tar) as ext4 into a sparse file, from byte ``offset`` to the disk's end.

    No journal and no checksums: the machines are made to be thrown away, and both cost time under emulation.
    """
    words: list[str | Path] = [
        "-q", "-F", "-t", "ext4", "-L", "root", "-m", "1",
        "-O", "^has_journal,^metadata_csum,^orphan_file,uninit_bg",
        "-U", UUID, "-E", f"hash_seed={UUID},root_owner=0:0,offset={offset}",
        "-d", root, image, f"{(DISK_BYTES - offset) >> 10}k",
    ]  # fmt: skip
    tools.run("mke2fs", words)


def qcow2(image: Path, target: Path) -> None:
    command.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, target], timeout=600)


def vmdk(image: Path, target: Path) -> None:
    """Write VMware's format as appliances have it: compressed, not writable, each import copies it."""
    command.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", image, target],
        timeout=600,
    )
    with target.open("r+b") as file:
        head = file.read(_DESCRIPTOR_END)
        # The content id is random, and of use only to disks that stand on this one.
        fixed, found = re.subn(rb"\nCID=[0-9a-f]{8}\n", b"\nCID=00000001\n", head)
        if found != 1:
            raise ProvisionError("qemu-img wrote a VMDK file without a content id where it is expected")
        file.seek(0)
        file.write(fixed)
