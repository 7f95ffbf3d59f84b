"""A folder as one image layer: an uncompressed tar that equal folders make equal, byte for byte.

Entries are sorted, times are fixed, owners are numbers.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from provisioner.errors import ProvisionError

# The day Debian 13 was released. An image is as old as its packages, not as its build: `docker images` shows this.
TIME = 1754697600

# Mount points and caches: the folder stays, what is in it does not.
EMPTIED = frozenset(
    {"dev", "proc", "sys", "run", "tmp", "var/tmp", "var/cache/apt", "var/lib/apt/lists", "var/log/apt"}
)
# What the build copied from this machine. Docker writes its own of the first three into each container.
LEFT_OUT = frozenset(
    {"etc/resolv.conf", "etc/hostname", "etc/hosts", "etc/machine-id", "etc/apt/sources.list", "var/log/dpkg.log"}
)


def write(root: Path, target: Path, *, keep: Sequence[str] = ()) -> str:
    """Write files, folders, symbolic and hard links with their owners and modes; no devices, pipes or sockets.

    Extended attributes, and file capabilities with them, are not carried.

    :param keep: absolute paths or globs inside ``root``, each with all below it; none means everything.
    :returns: the digest of what was written, ``sha256:…``.
    :raises ProvisionError: a path to keep is not there, or lies behind a symbolic link.
    """
    kept = _kept(root, keep)
    missing = set(kept)
    first_names: dict[tuple[int, int], str] = {}
    with tarfile.open(target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in _walk(root):
            if keep and not _is_kept(name, kept):
                continue
            missing.discard(name)
            _add(tar, root / name, name, first_names)
    if missing:
        raise ProvisionError(
            f"/{min(missing)} cannot be kept: it lies behind a symbolic link or is never part of an image",
            hint="name its real path in the image's definition",
        )
    with target.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _walk(root: Path, below: str = "") -> Iterator[str]:
    """Every path under ``root`` that an image may hold, relative, parents before children, sorted."""
    with os.scandir(root / below) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        name = f"{below}/{entry.name}" if below else entry.name
        if name in LEFT_OUT:
            continue
        yield name
        if entry.is_dir(follow_symlinks=False) and name not in EMPTIED:
            yield from _walk(root, name)


def _kept(root: Path, keep: Sequence[str]) -> set[str]:
    kept: set[str] = set()
    for pattern in keep:
        found = [str(path.relative_to(root)) for path in root.glob(pattern.lstrip("/"))]
        if not found:
            raise ProvisionError(
                f"nothing matches {pattern} in the image's root",
                hint="a package may have moved its files: correct `keep` in the image's definition",
            )
        kept.update(found)
    return kept


def _is_kept(name: str, kept: set[str]) -> bool:
    """Whether it is kept by itself, with a folder above it, or as the folder of something kept."""
    parents = {str(parent) for parent in Path(name).parents}
    return name in kept or bool(parents & kept) or any(path.startswith(f"{name}/") for path in kept)


def _add(tar: tarfile.TarFile, path: Path, name: str, first_names: dict[tuple[int, int], str]) -> None:
    info = path.lstat()
    member = tarfile.TarInfo(name)
    member.mode = stat.S_IMODE(info.st_mode)
    member.uid, member.gid = info.st_uid, info.st_gid
    member.mtime = TIME
    if stat.S_ISDIR(info.st_mode):
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    elif stat.S_ISLNK(info.st_mode):
        member.type, member.linkname = tarfile.SYMTYPE, str(path.readlink())
        tar.addfile(member)
    elif stat.S_ISREG(info.st_mode):
        first = first_names.setdefault((info.st_dev, info.st_ino), name)
        if first != name:
            member.type, member.linkname = tarfile.LNKTYPE, first
            tar.addfile(member)
            return
        member.size = info.st_size
        with path.open("rb") as file:
            tar.addfile(member, file)
