"""Programs of Debian that make boxes, taken from Debian itself instead of from this machine.

So equal inputs give equal boxes wherever they are built, and nothing has to be installed: the programs are unpacked
into the cache and run with their own libraries. mke2fs has to be Debian 13's in any case: it reads the root from a tar
file, with owners and in that order. Older ones read a folder, which takes root and follows this machine's file system.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from provisioner import command
from provisioner.lab import Base
from provisioner.machines.vagrant.box import debootstrap
from provisioner.machines.vagrant.box.definition import TIME, boxes_folder
from provisioner.progress import Progress
from provisioner.state import machine_lock

SUITE: Base = "trixie"
PACKAGES = ("e2fsprogs", "grub-common", "grub-pc-bin", "libarchive13t64", "lz4", "pigz", "zstd")
_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def folder() -> Path:
    return boxes_folder() / f"tools-{hashlib.sha256(' '.join((SUITE, *PACKAGES)).encode()).hexdigest()[:12]}"


def provide(progress: Progress, log: Path) -> None:
    """Unpack the programs where they are not yet.

    :raises MachineLacks: no space, or Debian's packages cannot be fetched.
    """
    with machine_lock("box-tools"):
        if not folder().is_dir():
            progress.host("", "unpacking the programs that make boxes")
            debootstrap.unpack(SUITE, PACKAGES, folder(), log)


def file(path: str) -> Path:
    return folder() / path


def run(program: str, words: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> command.Result:
    """Run one of them to its end, within ten minutes.

    :raises CommandFailed: it failed.
    """
    root = folder()
    path = next(place for name in ("usr/bin", "usr/sbin") if (place := root / name / program).exists())
    libraries = root / _LIBRARIES
    fixed = {
        "SOURCE_DATE_EPOCH": str(TIME),
        "MKE2FS_CONFIG": str(root / "etc/mke2fs.conf"),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PATH": os.environ.get("PATH", ""),
    }
    return command.run(
        [libraries / "ld-linux-x86-64.so.2", "--library-path", libraries, path, *words],
        timeout=600,
        env={**fixed, **(env or {})},
    )
