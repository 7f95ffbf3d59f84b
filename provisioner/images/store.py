"""The machine's image archives: each built once, kept under its key, shared by all labs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import MachineLacks
from provisioner.images import model, rootfs, tarball
from provisioner.images.model import Image
from provisioner.progress import Progress
from provisioner.state import disk_error, home, machine_lock

# The only build at a time: mmdebstrap and the compression of packages keep a small machine's cores busy.
LOCK = "images"


@dataclass(frozen=True)
class Listed:
    """One line of `provision images`."""

    name: str
    tags: tuple[str, ...]
    suite: str
    packages: tuple[str, ...]
    path: Path
    size: int | None
    """Bytes of its archive; None while it is not built."""

    @property
    def built(self) -> bool:
        return self.size is not None


def folder() -> Path:
    return home() / "cache" / "containers"


def path(image: Image) -> Path:
    """Where its archive is, whether or not it is built."""
    return folder() / f"{image.name}-{image.key}.tar"


def archive(name: str, progress: Progress) -> Path:
    """The archive of an image, for `docker load`; builds it where there is none.

    :raises UsageError: there is no image of that name.
    :raises MachineLacks: not root, no space, or Debian's packages cannot be fetched.
    """
    image = model.definition(name)
    if not path(image).exists():
        with machine_lock(LOCK):
            if not path(image).exists():  # another lab may have built it while we waited
                with progress.stage(f"Building the container image {name} from Debian packages"):
                    build(image, progress)
    return path(image)


def build(image: Image, progress: Progress) -> None:
    """Build an archive and put it in its place in one step. The caller holds the lock.

    :raises MachineLacks: not root, no space, or Debian's packages cannot be fetched.
    :raises ProvisionError: the definition does not work.
    """
    if os.geteuid() != 0:
        raise MachineLacks(
            f"building the image {image.name!r} needs root", hint=f"sudo provision images build {image.name}"
        )
    unfinished, log = _unfinished(), folder() / f"{image.name}.log"

    def doing(what: str) -> None:
        progress.host(image.name, what)

    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        rootfs.remove(unfinished)
        unfinished.mkdir(mode=0o700)  # set-user-ID programs inside must not be reached by the machine's users
        log.write_text("")
        rootfs.make(image, unfinished / "root", log, doing)
        doing("packing it")
        tarball.write(image, unfinished / "root", unfinished / "image.tar")
        (unfinished / "image.tar").replace(path(image))
    except OSError as error:
        raise disk_error(error, folder()) from error
    finally:
        # After an interruption the build's last processes may still be ending: then the next build removes the rest.
        rootfs.remove(unfinished, check=False)


def listing() -> list[Listed]:
    """Every image that there is a definition of, built or not, in alphabetical order."""
    images = [model.definition(name) for name in model.names()]
    return [
        Listed(
            name=image.name,
            tags=image.tags,
            suite=image.suite,
            packages=image.packages,
            path=path(image),
            size=_size(path(image)),
        )
        for image in images
    ]


def prune(*, everything: bool = False) -> list[tuple[Path, int]]:
    """Remove what no definition needs any more: archives of earlier definitions, and what broken builds left.

    :param everything: the present archives too.
    :returns: each file that was removed, with its size in bytes.
    """
    if not folder().is_dir():
        return []
    removed: list[tuple[Path, int]] = []
    with machine_lock(LOCK):
        rootfs.remove(_unfinished())
        needed = set() if everything else {image.path for image in listing()}
        for file in sorted(folder().glob("*.tar")):
            if file not in needed:
                removed.append((file, file.stat().st_size))
                file.unlink()
    return removed


def _unfinished() -> Path:
    return folder() / ".unfinished"


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.exists() else None
