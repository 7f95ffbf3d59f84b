"""The boxes that are built: what is in the cache, and where its files are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from provisioner.lab import Base
from provisioner.machines.vagrant.box.definition import Definition, Format, boxes_folder


@dataclass(frozen=True)
class Box:
    """A box in the cache.

    ``kernel``, ``initrd`` and ``image`` (qcow2, one ext4 file system without partitions) are files of their own where
    the format boots without a boot loader (libvirt).
    """

    name: str
    version: str
    provider: Format
    key: str
    base: Base
    docker: bool
    path: Path
    sha256: str

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def catalog(self) -> Path:
        """What ``vagrant box add`` and ``config.vm.box_url`` take, so that the box keeps its version and is checked."""
        return self.folder / "catalog.json"

    @property
    def kernel(self) -> Path | None:
        return self._part("vmlinux")

    @property
    def initrd(self) -> Path | None:
        return self._part("initrd")

    @property
    def image(self) -> Path | None:
        return self._part("box.img")

    @property
    def packages(self) -> tuple[str, ...]:
        """Each as name=version."""
        return tuple(json.loads((self.folder / "box.json").read_text())["packages"])

    @property
    def is_current(self) -> bool:
        """Whether this version of `provision` would build the same."""
        return self.key == Definition(self.base, self.docker).key

    @property
    def size(self) -> int:
        """Bytes on disk, with what lies beside it."""
        return sum(path.stat().st_blocks * 512 for path in self.folder.iterdir())

    def _part(self, name: str) -> Path | None:
        return path if (path := self.folder / name).exists() else None


def read(box: Definition, provider: Format) -> Box | None:
    """The box of a definition, if it is built."""
    return _read(box.folder / provider / "box.json")


def boxes() -> list[Box]:
    """All that are built, also by other versions of `provision`, by folder."""
    return [box for path in sorted(boxes_folder().glob("[!.]*/*/box.json")) if (box := _read(path))]


def _read(path: Path) -> Box | None:
    try:
        read = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return Box(
        read["name"], read["version"], read["provider"], read["key"], read["base"], read["docker"],
        path.parent / read["box"], read["sha256"][read["box"]],
    )  # fmt: skip
