"""The kernel and the initrd that a box is booted with, both taken from the box's own root.

The kernel is booted uncompressed: QEMU starts an ELF file with a PVH note as it is, which saves the decompression
(0.4 to 0.5 s under emulation). Layout of the compressed one: Documentation/arch/x86/boot.rst of the kernel.
"""

from __future__ import annotations

import lzma
import re
import struct
from pathlib import Path, PurePosixPath

from provisioner.errors import ProvisionError
from provisioner.machines.vagrant.box import cpio, tools
from provisioner.machines.vagrant.box.rootfs import RootArchive

# Without what they need in turn, which modules.dep tells; what is built into the kernel is not looked for.
VIRTIO = ("virtio_pci", "virtio_blk", "virtio_net", "ext4")
# VirtualBox's disks: SATA, and IDE for Debian 12, whose cloud kernel has no AHCI.
VIRTUALBOX = ("virtio_pci", "virtio_net", "ahci", "ata_piix", "sd_mod", "ext4")

_APPLETS = (
    "cat", "findfs", "hostname", "ifconfig", "insmod", "mount", "route", "sh", "switch_root", "udhcpc", "umount",
    "usleep",
)  # fmt: skip
_SECTOR = 512
# What Debian 13 and 12 compress with, by its first bytes; backported kernels have had xz.
_PROGRAMS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x02\x21\x4c\x18": "lz4"}
_BOX = Path(__file__).parent


def write(root: RootArchive, folder: Path) -> None:
    """Write ``vmlinuz``, ``vmlinux`` and ``initrd`` of a root into a folder."""
    compressed = root.read(root.find(r"boot/vmlinuz-.*"))
    (folder / "vmlinuz").write_bytes(compressed)
    _write_uncompressed(compressed, folder / "vmlinux")
    (folder / "initrd").write_bytes(initrd(root, VIRTIO))


def initrd(root: RootArchive, drivers: tuple[str, ...]) -> bytes:
    """An archive of a static busybox, drivers of disks and cards, and our own first program."""
    dependencies = root.find(r"usr/lib/modules/[^/]*/modules\.dep")
    modules = load_order(root.read(dependencies).decode(), drivers)
    place = PurePosixPath(dependencies).parent
    entries = [cpio.folder(name) for name in ("bin", "dev", "modules", "proc", "root")]
    # The kernel opens it for the first program, before devtmpfs is mounted.
    entries += [cpio.character_device("dev/console", 5, 1), cpio.character_device("dev/null", 1, 3)]
    entries.append(cpio.program("bin/busybox", root.read("usr/bin/busybox")))
    entries += [cpio.link(f"bin/{applet}", "busybox") for applet in _APPLETS]
    entries += [cpio.program(name, (_BOX / name).read_bytes()) for name in ("init", "lease")]
    names = [PurePosixPath(module).name for module in modules]
    entries.append(cpio.file("modules/order", "".join(f"{name}\n" for name in names).encode()))
    entries += [cpio.file(f"modules/{PurePosixPath(each).name}", root.read(str(place / each))) for each in modules]
    return cpio.archive(entries)


def load_order(modules_dep: str, wanted: tuple[str, ...]) -> list[str]:
    """The files of modules and of all they need, each after what it needs. Those built into the kernel are left out.

    modules.dep names what a module needs with the deepest last (modules.dep(5)).
    """
    needs: dict[str, list[str]] = {}
    for line in modules_dep.splitlines():
        module, _, needed = line.partition(":")
        needs[module] = needed.split()
    by_name = {re.sub(r"\.ko.*", "", PurePosixPath(module).name).replace("-", "_"): module for module in needs}
    ordered: list[str] = []
    for module in (by_name[name] for name in wanted if name in by_name):
        ordered += [each for each in [*reversed(needs[module]), module] if each not in ordered]
    return ordered


def _write_uncompressed(bzimage: bytes, target: Path) -> None:
    payload = embedded(bzimage)
    if program := next((name for magic, name in _PROGRAMS.items() if payload.startswith(magic)), None):
        packed = target.with_name(f"{target.name}.{program}")
        packed.write_bytes(payload)
        tools.run(program, ["-d", "-f", "-q", packed, target] if program == "lz4" else ["-dfq", packed, "-o", target])
        packed.unlink()
    elif payload.startswith(b"\xfd7zXZ"):
        target.write_bytes(lzma.LZMADecompressor().decompress(payload))
    else:
        raise ProvisionError(f"the kernel of the box is compressed in an unknown way ({payload[:4].hex()})")


def embedded(bzimage: bytes) -> bytes:
    """The compressed ELF file inside a kernel as Debian ships it.

    :raises ProvisionError: it is no x86 kernel.
    """
    if bzimage[0x202:0x206] != b"HdrS":
        raise ProvisionError("the kernel of the box is not an x86 bzImage", hint="boxes are built for amd64 alone")
    setup_sectors = bzimage[0x1F1] or 4
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (setup_sectors + 1) * _SECTOR + offset
    return bzimage[start : start + length - 4]  # the last four bytes are the uncompressed size
