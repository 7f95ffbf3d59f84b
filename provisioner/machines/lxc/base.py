"""The base image: a Debian root from Debian's packages alone, built once and shared by every host of every lab."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from provisioner import command
from provisioner.command import CommandFailed
from provisioner.errors import MachineLacks
from provisioner.lab import Base
from provisioner.machines.debian import DOCKER_PACKAGES, EXCLUDED, MIRROR_VARIABLE, PACKAGES
from provisioner.progress import Progress
from provisioner.state import disk_error, home, machine_lock

BUILD_SECONDS = 1800


def folder() -> Path:
    return home() / "cache" / "base"


def setup_script() -> Path:
    return Path(str(resources.files(__package__) / "base-setup.sh"))


def key(base: Base) -> str:
    """What decides the image, as a short hash: equal keys, equal images (up to Debian's own updates)."""
    parts = (
        base,
        *PACKAGES,
        "|",
        *DOCKER_PACKAGES[base],
        *EXCLUDED,
        setup_script().read_text(),
        os.uname().machine,
    )
    return f"{base}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"


def root(base: Base) -> Path:
    """The image's root folder, whether or not it is built."""
    return folder() / key(base) / "root"


def is_built(base: Base) -> bool:
    return root(base).is_dir()


def build(base: Base, progress: Progress, *, log: Path) -> Path:
    """The image's root folder; builds it where there is none.

    :raises MachineLacks: no space, or Debian's packages cannot be fetched.
    """
    if is_built(base):
        return root(base)
    with machine_lock(f"base-{base}"):
        if is_built(base):  # another lab built it while we waited
            return root(base)
        with progress.stage(f"Building the base image ({base}) from Debian packages"):
            _build(base, log)
    return root(base)


def _build(base: Base, log: Path) -> None:
    target = root(base).parent
    unfinished = folder() / f".unfinished-{base}"
    packages = home() / "cache" / "packages" / base
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        packages.mkdir(parents=True, exist_ok=True)
        _remove(unfinished)
        unfinished.mkdir(mode=0o700)  # set-user-ID programs inside must not be reached by the machine's users
        with _out_of_space(unfinished), log.open("a") as output:
            build = _mmdebstrap(base, unfinished / "root", packages)
            command.run(["unshare", "--mount", "--", *build], timeout=BUILD_SECONDS, log=output)
    except OSError as error:
        raise disk_error(error, unfinished) from error
    except CommandFailed as error:
        _remove(unfinished)
        said = [line[3:] for line in log.read_text(errors="replace").splitlines() if line.startswith("E: ")]
        raise MachineLacks(
            f"the base image could not be built: {said[-1] if said else error.message}",
            hint="it needs Debian's package mirror once: check `apt-get update` on this machine, "
            f"or name another mirror in {MIRROR_VARIABLE}",
            log=log,
        ) from error
    (unfinished / "image.json").write_text(json.dumps({"base": base, "key": target.name}) + "\n")
    unfinished.rename(target)


def _mmdebstrap(base: Base, target: Path, packages: Path) -> list[str | Path]:
    setup = f'sh "{setup_script()}"'
    argv: list[str | Path] = [
        "mmdebstrap", "--variant=minbase", "--mode=root", "--format=directory",
        f"--include={','.join(PACKAGES)}",
        '--aptopt=Acquire::Languages "none"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
        # The lists stay, because the packages beside them are the ones they name.
        "--skip=cleanup/apt/lists", "--skip=cleanup/apt/cache", "--skip=download/empty", "--skip=essential/unlink",
        f'--setup-hook={setup} before "$1" "{packages}"',
        f'--customize-hook={setup} after "$1" "{packages}" {" ".join(DOCKER_PACKAGES[base])}',
        base, target,
    ]  # fmt: skip
    if mirror := os.environ.get(MIRROR_VARIABLE):
        argv.append(mirror)
    return argv


@contextlib.contextmanager
def _out_of_space(path: Path) -> Iterator[None]:
    """Name a full disk as the cause, which mmdebstrap reports as whatever failed first."""
    try:
        yield
    except CommandFailed as error:
        free = shutil.disk_usage(path).free
        if free < 64 << 20:
            raise MachineLacks(
                f"no space left below {home()} ({free >> 20} MiB free) while the base image was built",
                hint="it takes about 600 MB; free some disk, then repeat the command",
            ) from error
        raise


def _remove(path: Path) -> None:
    if path.exists():
        command.run(["rm", "-rf", "--one-file-system", path], timeout=120)
