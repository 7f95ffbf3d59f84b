"""Our own Vagrant boxes, made of Debian packages alone: what they are made of, how, and where they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from provisioner.errors import MachineLacks
from provisioner.lab import DEFAULT_BASE, Base
from provisioner.machines.vagrant.box import assembly, store
from provisioner.machines.vagrant.box.definition import FORMATS, Definition, Format
from provisioner.machines.vagrant.box.store import Box, boxes
from provisioner.progress import Progress
from provisioner.state import home

__all__ = ["FORMATS", "Box", "Format", "best", "boot_files", "boxes", "build", "find"]


def find(base: Base = DEFAULT_BASE, format: Format = "libvirt", docker: bool = True) -> Box | None:
    """The box that this version of `provision` builds, if it is built."""
    return store.read(Definition(base, docker), format)


def best(base: Base, format: Format) -> Box | None:
    """The box that new machines are made from: the one with Docker's packages, else the one without."""
    return find(base, format) or find(base, format, docker=False)


def build(
    base: Base = DEFAULT_BASE,
    formats: Sequence[Format] = ("libvirt",),
    docker: bool = True,
    *,
    progress: Progress | None = None,
) -> list[Box]:
    """Boxes in the formats wanted; those that are in the cache are taken from there. A minute or two.

    :raises MachineLacks: no right or no space to do so, or Debian's packages cannot be fetched.
    """
    definition = Definition(base, docker)
    logs = home() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-box-{definition.name}.log"
    return assembly.build(definition, formats, progress or Progress(), log)


def boot_files(base: Base = DEFAULT_BASE, docker: bool = True) -> tuple[Path, Path]:
    """Kernel (ELF with a PVH note) and initrd of the libvirt box, to boot its image without a boot loader.

    :raises MachineLacks: it is not built.
    """
    box = find(base, "libvirt", docker)
    if box is None or box.kernel is None or box.initrd is None:
        command = f"provision box build --base {base} --format libvirt{'' if docker else ' --no-docker'}"
        raise MachineLacks(f"there is no box of {base} on this machine", hint=f"build one, in a minute: {command}")
    return box.kernel, box.initrd
