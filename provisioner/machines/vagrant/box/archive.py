"""Tar archives that equal files make equal, byte for byte."""

from __future__ import annotations

import tarfile
from pathlib import Path

from provisioner.machines.vagrant.box import tools
from provisioner.machines.vagrant.box.definition import TIME


def pack(target: Path, files: dict[str, Path]) -> None:
    """Write files under the given names, in alphabetical order, as a gzip-compressed tar.

    Level 1: a box of 600 MB becomes 250 MB in 4 s; level 6 saves another 10 % and takes four times as long.
    """
    plain = target.with_name(f"{target.name}.tar")
    with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, path in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = path.stat().st_size, TIME, 0o644
            with path.open("rb") as content:
                tar.addfile(member, content)
    gzip(plain, target)


def gzip(plain: Path, target: Path) -> None:
    """Compress a file, which goes away. Neither its name nor a time is in the result."""
    tools.run("pigz", ["-1", "--no-name", "--no-time", "--force", plain])
    plain.with_name(f"{plain.name}.gz").replace(target)
