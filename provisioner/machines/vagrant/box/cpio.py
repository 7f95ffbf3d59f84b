"""An initrd's archive in the format that the kernel unpacks (cpio "newc"); equal contents give equal bytes.

Format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel, and cpio(5).
"""

from __future__ import annotations

import stat
from dataclasses import dataclass

_MAGIC = "070701"
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """``mode`` holds the type too, as in stat(2). ``device``: major and minor of a device file."""

    name: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def folder(name: str) -> Entry:
    return Entry(name, stat.S_IFDIR | 0o755)


def program(name: str, content: bytes) -> Entry:
    return Entry(name, stat.S_IFREG | 0o755, content)


def file(name: str, content: bytes) -> Entry:
    return Entry(name, stat.S_IFREG | 0o644, content)


def link(name: str, target: str) -> Entry:
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def character_device(name: str, major: int, minor: int) -> Entry:
    return Entry(name, stat.S_IFCHR | 0o600, device=(major, minor))


def archive(entries: list[Entry]) -> bytes:
    """The entries in their order, which must name a folder before what is in it. Owner is root, the time is 0."""
    packed = bytearray()
    for inode, entry in enumerate([*entries, Entry(_TRAILER, 0)], start=1):
        name = entry.name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(entry.mode) else 1
        fields = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
        packed += (_MAGIC + "".join(f"{field:08X}" for field in fields)).encode() + name
        packed += bytes(-len(packed) % 4)
        packed += entry.content
        packed += bytes(-len(packed) % 4)
    return bytes(packed)
