"""Roots from Debian's packages alone, by mmdebstrap: as root, or in a user namespace where that is allowed."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from provisioner import command
from provisioner.command import CommandFailed
from provisioner.errors import MachineLacks, ProvisionError
from provisioner.lab import Base
from provisioner.machines.debian import EXCLUDED, MIRROR_VARIABLE
from provisioner.machines.vagrant.box import definition
from provisioner.machines.vagrant.box.definition import KERNEL_PACKAGE, TIME, Definition
from provisioner.state import disk_error, home

BUILD_SECONDS = 1800
_ARCHIVES = "/var/cache/apt/archives"
_HERE = Path(__file__).parent


def archive(box: Definition, target: Path, log: Path) -> None:
    """Install and set up a box's root, and write it as a tar file.

    :raises MachineLacks: no right to do so, no space, or Debian's packages cannot be fetched.
    """
    kept = home() / "cache" / "packages" / box.base
    fetched = target.parent / "fetched"
    for folder in (kept, fetched):
        folder.mkdir(parents=True, exist_ok=True)
    argv = [
        "--variant=minbase", "--format=tar", f"--include={','.join(box.packages)}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
        "--skip=download/empty", "--skip=essential/unlink",
        # Special hooks, which read and write as this user whatever the rights inside (mmdebstrap(1)).
        f'--setup-hook=mkdir -p "$1{_ARCHIVES}"', f"--setup-hook=sync-in {_quoted(kept)} {_ARCHIVES}",
        f'--setup-hook=find "$1{_ARCHIVES}" -mindepth 1 -maxdepth 1 ! -name "*.deb" -exec rm -rf {{}} +',
        f"--customize-hook=upload {_quoted(_HERE / 'setup.sh')} /setup.sh",
        f"--customize-hook=upload {_quoted(_HERE / 'vagrant.pub')} /vagrant.pub",
        f'--customize-hook=chroot "$1" sh /setup.sh {KERNEL_PACKAGE} {shlex.quote(box.label)}',
        f"--customize-hook=sync-out {_ARCHIVES} {_quoted(fetched)}",
    ]  # fmt: skip
    try:
        _mmdebstrap(box.base, argv, target, log)
    finally:
        _keep(fetched, kept)


def unpack(suite: Base, packages: Sequence[str], target: Path, log: Path) -> None:
    """Unpack packages and what they need, without installing them."""
    unfinished = target.with_name(f".unfinished-{target.name}")
    archive = unfinished / "tools.tar"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    _mmdebstrap(suite, ["--variant=extract", "--format=tar", f"--include={','.join(packages)}"], archive, log)
    root = unfinished / "root"
    root.mkdir()
    command.run(["tar", "-C", root, "--exclude=./dev/*", "-xf", archive], timeout=300)
    root.rename(target)
    shutil.rmtree(unfinished)


def _mmdebstrap(suite: Base, argv: Sequence[str], target: Path, log: Path) -> None:
    started = log.stat().st_size if log.exists() else 0
    mirror = [definition.mirror()] if definition.mirror() else []
    words: list[str | Path] = [
        *_bounds(),
        "mmdebstrap", f"--mode={_mode()}", '--aptopt=Acquire::Languages "none"', *argv, suite, target, *mirror,
    ]  # fmt: skip
    try:
        with log.open("a") as output:
            command.run(words, timeout=BUILD_SECONDS, log=output, env=_environment(target.parent))
    except CommandFailed as error:
        raise _cause(target, log, started) from error
    except OSError as error:
        raise disk_error(error, target) from error


def require() -> None:
    """:raises MachineLacks: this machine or this user cannot make roots."""
    if shutil.which("mmdebstrap") is None:
        raise MachineLacks(
            "boxes are built by mmdebstrap, which is not on this machine",
            hint="on Debian and Ubuntu: apt-get install mmdebstrap qemu-utils; "
            "elsewhere add a box that was built on one: vagrant box add catalog.json",
        )
    if os.geteuid() != 0:
        tried = command.run(["unshare", "--user", "--map-root-user", "--map-auto", "true"], check=False)
        if tried.status != 0:
            raise MachineLacks(
                "a box is built as root or in a user namespace, which this user may not make: "
                f"{tried.stderr.strip().removeprefix('unshare: ')}",
                hint="sudo provision box build; or apt-get install uidmap, and lines for you in /etc/subuid and subgid",
            )
    if shutil.which("qemu-img") is None:
        raise MachineLacks("boxes need qemu-img, which is not on this machine", hint="apt-get install qemu-utils")


def _mode() -> str:
    return "root" if os.geteuid() == 0 else "unshare"


def _bounds() -> list[str]:
    """What makes a build end with `provision`, however that ends, and keeps its mounts from being seen outside."""
    if os.geteuid() != 0:
        # mmdebstrap makes its own namespaces. Told to end, it takes its folder away, which this user could not.
        return ["setpriv", "--pdeathsig", "TERM", "--"]
    return [
        "setpriv", "--pdeathsig", "KILL", "--",
        "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--",
    ]  # fmt: skip


def _environment(temporary: Path) -> dict[str, str]:
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return {
        **proxies,
        # A user's PATH often lacks the folders of the system's programs, which mmdebstrap starts.
        "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ.get('PATH', '')}",
        "HOME": str(temporary),
        "LC_ALL": "C.UTF-8",
        # In a user namespace the root belongs to other users, who do not get through this one's folders.
        "TMPDIR": str(temporary) if os.geteuid() == 0 else os.environ.get("TMPDIR", "/var/tmp"),  # noqa: S108
        "DEBIAN_FRONTEND": "noninteractive",
        "SOURCE_DATE_EPOCH": str(TIME),
        "PYTHONHASHSEED": "0",
    }


def _keep(fetched: Path, kept: Path) -> None:
    """Move what was fetched into the shared cache, each package in one step."""
    for package in fetched.glob("*.deb"):
        if not (kept / package.name).exists():
            package.replace(kept / package.name)
    shutil.rmtree(fetched)


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _cause(target: Path, log: Path, started: int) -> ProvisionError:
    lines = log.read_bytes()[started:].decode(errors="replace").splitlines()
    said = next((line[3:].strip() for line in lines if line.startswith("E: ")), "mmdebstrap failed")
    free = shutil.disk_usage(target.parent).free
    if free < 64 << 20 or "No space left" in said:
        return MachineLacks(
            f"no space left below {home()} ({free >> 20} MiB free) while a box was built",
            hint="a build takes 3 GB: free some disk, for example by `provision cache prune`, then repeat the command",
            log=log,
        )
    return MachineLacks(
        f"the box could not be built from Debian's packages: {said}",
        hint=f"check `apt-get update` on this machine, or name another mirror in {MIRROR_VARIABLE}",
        log=log,
    )
