"""From Debian's packages to boxes in the cache, each in a folder of its own that appears when it is complete."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from provisioner.machines.vagrant.box import debootstrap, formats, tools
from provisioner.machines.vagrant.box.definition import DEBIAN_VERSION, Definition, Format, boxes_folder
from provisioner.machines.vagrant.box.rootfs import RootArchive
from provisioner.machines.vagrant.box.store import Box, read
from provisioner.progress import Progress
from provisioner.state import disk_error, machine_lock

PACKAGES_FILE = "usr/share/provision-box.packages"


def build(box: Definition, wanted: Sequence[Format], progress: Progress, log: Path) -> list[Box]:
    """Boxes of one root in the formats wanted; builds those that are not in the cache.

    :param log: takes what the programs print.
    :raises MachineLacks: no right or no space to do so, or Debian's packages cannot be fetched.
    """
    with machine_lock(f"box-{box.name}"):
        missing = [each for each in wanted if read(box, each) is None]
        if missing:
            debootstrap.require()
            with progress.stage(f"Building the box {box.name} ({', '.join(missing)}) from Debian packages"):
                _build(box, missing, progress, log)
    return [found for each in wanted if (found := read(box, each))]


def _build(box: Definition, missing: Sequence[Format], progress: Progress, log: Path) -> None:
    work = boxes_folder() / f".unfinished-{box.name}"
    try:
        boxes_folder().mkdir(parents=True, exist_ok=True)
        shutil.rmtree(work, ignore_errors=True)  # what a killed build left
        work.mkdir()
        tools.provide(progress, log)
        progress.host("", "installing packages")
        debootstrap.archive(box, work / "root.tar", log)
        with RootArchive(work / "root.tar") as root:
            packages = root.read(PACKAGES_FILE).decode().splitlines()
            for each in missing:
                folder = work / each
                folder.mkdir()
                target = folder / f"{box.name}-{each}.box"
                formats.WRITERS[each](formats.Parts(box, root, folder, target, functools.partial(progress.host, each)))
                describe(box, each, folder, target, packages)
                box.folder.mkdir(exist_ok=True)
                folder.rename(box.folder / each)
    except OSError as error:
        raise disk_error(error, work) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def describe(box: Definition, provider: Format, folder: Path, target: Path, packages: Sequence[str]) -> None:
    """Write box.json, which tells what is in the box, and catalog.json, which Vagrant adds the box by."""
    digests = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    contents = hashlib.sha256("\n".join(packages).encode()).hexdigest()
    description = {
        "name": f"provision/{box.name}",
        # Numbers alone, as Vagrant wants them: Debian's, and one that is another for other packages or another recipe.
        "version": f"{DEBIAN_VERSION[box.base]}.{int(box.key[:6], 16)}.{int(contents[:6], 16)}",
        "provider": provider,
        "key": box.key,
        "base": box.base,
        "docker": box.docker,
        "box": target.name,
        "sha256": digests,
        "packages": sorted(packages),
    }
    (folder / "box.json").write_text(json.dumps(description, indent=2) + "\n")
    final = box.folder / provider / target.name
    catalog = {
        "name": description["name"],
        "versions": [
            {
                "version": description["version"],
                "providers": [
                    {
                        "name": provider,
                        "url": f"file://{final}",
                        "checksum_type": "sha256",
                        "checksum": digests[target.name],
                    }
                ],
            }
        ],
    }
    (folder / "catalog.json").write_text(json.dumps(catalog, indent=2) + "\n")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
