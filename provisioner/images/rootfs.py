"""The root folder of an image, made from Debian packages by mmdebstrap.

Builds run in mount and process namespaces of their own that end with `provision`, however that ends, so that no
mount and no process of a build is left behind. Packages come from the cache that all builds of a suite share
(``cache/packages/<suite>/``), and so do apt's package lists: a second build downloads nothing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from provisioner import command
from provisioner.command import CommandFailed
from provisioner.errors import MachineLacks, ProvisionError
from provisioner.images import layer
from provisioner.images.model import File, Image
from provisioner.state import home

MIRROR_VARIABLE = "PROVISION_DEBIAN_MIRROR"
BUILD_SECONDS = 1800
SETUP_SECONDS = 600
# Package lists younger than this are used as they are. Debian's archive changes four times a day, and packages that a
# list names stay in it for at least a day.
LISTS_SECONDS = 24 * 3600

LISTS = "lists"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FREE_NEEDED = 64 << 20


def make(image: Image, root: Path, log: Path, doing: Callable[[str], None]) -> None:
    """Install an image's packages, write its files and run its setup.

    :param root: the folder to make.
    :param log: takes the whole output.
    :param doing: is told what is going on.
    :raises MachineLacks: no space, or Debian's packages cannot be fetched.
    :raises ProvisionError: the setup failed.
    """
    doing("installing packages")
    _install(image, root, log)
    for file in image.files:
        _write(root, file)
    if image.setup:
        doing("running its setup")
        _set_up(image, root, log)


def _write(root: Path, file: File) -> None:
    path = root / file.path.lstrip("/")
    for folder in reversed(path.relative_to(root).parents):
        if not (root / folder).exists():
            (root / folder).mkdir()
            (root / folder).chmod(0o755)  # whatever the user's umask
    path.write_text(file.text)
    path.chmod(file.mode)


def _install(image: Image, root: Path, log: Path) -> None:
    packages = home() / "cache" / "packages" / image.suite
    (packages / LISTS).mkdir(parents=True, exist_ok=True)
    cause: ProvisionError | None = None
    for update in _attempts(packages / LISTS):
        remove(root)
        started = log.stat().st_size
        try:
            with log.open("a") as output:
                command.run(
                    _isolated(_mmdebstrap(image, root, packages, update=update)),
                    timeout=BUILD_SECONDS, log=output, env=_environment(),
                )  # fmt: skip
        except CommandFailed:
            if update:  # what went wrong with stored lists may just be their age
                cause = _cause(image, root, log, started)
        else:
            if update:
                _keep_lists(root, packages / LISTS)
            return
        finally:
            _keep_packages(root, packages)
    if cause:
        raise cause


def _attempts(lists: Path) -> tuple[bool, ...]:
    """Whether to fetch package lists, in the order to try: stored ones serve where the mirror is out of reach."""
    if not any(lists.iterdir()):
        return (True,)
    fresh = time.time() - lists.stat().st_mtime < LISTS_SECONDS
    return (False, True) if fresh else (True, False)


def _mmdebstrap(image: Image, root: Path, packages: Path, *, update: bool) -> list[str | Path]:
    skipped = ["download/empty", "essential/unlink", "cleanup/apt/cache", "cleanup/apt/lists"]
    archives, lists = '"$1"/var/cache/apt/archives', '"$1"/var/lib/apt/lists'
    quoted = shlex.quote(str(packages))
    # Hard links, because the cache also holds what other builds fetched; apt replaces files, it never writes into one.
    hooks = [f"mkdir -p {archives} && find {quoted} -maxdepth 1 -name '*.deb' -exec cp -l -t {archives} {{}} +"]
    if not update:
        skipped.append("update")
        hooks.append(f"mkdir -p {lists} && cp -l -t {lists} {quoted}/{LISTS}/*")
    if any(pattern.startswith("/usr/share/man") for pattern in image.path_exclude):
        hooks.append('mkdir -p "$1"/usr/share/man/man1')  # update-alternatives fails without the folder (java)
    argv: list[str | Path] = [
        "mmdebstrap", "--mode=root", "--format=directory", "--verbose", f"--variant={image.variant}",
        f"--include={','.join(image.packages)}", f"--skip={','.join(skipped)}",
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=Acquire::GzipIndexes "true"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in image.path_exclude),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        *(f"--setup-hook={hook}" for hook in hooks),
        image.suite, root,
    ]  # fmt: skip
    if mirror := os.environ.get(MIRROR_VARIABLE):
        argv.append(mirror)
    return argv


def _set_up(image: Image, root: Path, log: Path) -> None:
    (root / "proc").mkdir(exist_ok=True)
    enter = 'umask 022 && mount -t proc proc "$1/proc" && exec chroot "$@"'
    argv: list[str | Path] = ["sh", "-c", enter, "sh", root, *image.setup_shell, "-eu", "-c", image.setup]
    with log.open("a") as output:
        try:
            # Without network: what a definition needs is in its packages.
            command.run(_isolated(argv, "--net"), timeout=SETUP_SECONDS, log=output, env=_environment())
        except CommandFailed as error:
            said = _last_line(log)
            raise _no_space(image, root, log, said) or ProvisionError(
                f"the setup of the image {image.name!r} failed: {said}",
                hint="correct its definition, then repeat the command",
                log=log,
            ) from error


def _isolated(argv: list[str | Path], *further: str) -> list[str | Path]:
    """An argv in namespaces that end with this process: a `provision` that is killed takes its build along.

    :param further: more namespaces to leave, as options of unshare(1).
    """
    return [
        "setpriv", "--pdeathsig", "KILL", "--",
        "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL", "--mount-proc",
        *further, "--", *argv,
    ]  # fmt: skip


def _environment() -> dict[str, str]:
    # SOURCE_DATE_EPOCH: useradd writes today's date into /etc/shadow otherwise.
    fixed = {
        "PATH": _PATH,
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "SOURCE_DATE_EPOCH": str(layer.TIME),
    }
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return proxies | fixed


def _keep_packages(root: Path, packages: Path) -> None:
    """Move what was fetched into the shared cache, each package in one step."""
    for deb in (root / "var/cache/apt/archives").glob("*.deb"):
        deb.replace(packages / deb.name)


def _keep_lists(root: Path, kept: Path) -> None:
    fetched = [path for path in (root / "var/lib/apt/lists").iterdir() if path.is_file() and path.name != "lock"]
    for path in fetched:
        path.replace(kept / path.name)
    for old in {path.name for path in kept.iterdir()} - {path.name for path in fetched}:
        (kept / old).unlink()
    os.utime(kept)


def _cause(image: Image, root: Path, log: Path, started: int) -> ProvisionError:
    """Why mmdebstrap failed: a full disk, or the first error in its output from byte ``started`` on."""
    lines = log.read_bytes()[started:].decode(errors="replace").splitlines()
    said = next((line[3:].strip() for line in lines if line.startswith("E: ")), "mmdebstrap failed")
    return _no_space(image, root, log, said) or MachineLacks(
        f"the image {image.name!r} could not be built from Debian's packages: {said}",
        hint=f"check `apt-get update` on this machine, or name another mirror in {MIRROR_VARIABLE}",
        log=log,
    )


def _no_space(image: Image, root: Path, log: Path, said: str) -> MachineLacks | None:
    """A full disk as the cause, which programs report as whatever they could not do first."""
    free = shutil.disk_usage(root.parent).free
    if free > _FREE_NEEDED and "enough free space" not in said and "No space left" not in said:
        return None
    return MachineLacks(
        f"no space left below {home()} ({free >> 20} MiB free) while the image {image.name!r} was built",
        hint="a build takes up to 1 GB: free some disk, for example by `provision cache prune`, then repeat it",
        log=log,
    )


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


def remove(root: Path, *, check: bool = True) -> None:
    """Take a root folder away, whatever a build left of it.

    :raises CommandFailed: it could not be, and ``check`` is set.
    """
    command.run(["rm", "-rf", "--one-file-system", root], timeout=120, check=check)
