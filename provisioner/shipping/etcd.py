"""Debian 13's etcd, whatever the hosts' Debian: its programs need glibc 2.34, and Debian 12 has 2.36."""

from __future__ import annotations

import os
from pathlib import Path

from provisioner import command
from provisioner.command import CommandFailed
from provisioner.errors import MachineLacks, ProvisionError
from provisioner.machines.debian import MIRROR_VARIABLE

FETCH_SECONDS = 900
PROGRAMS = ("etcd", "etcdutl")
_SCRIPTS = ("etcd-binary", "debian-packages")


def scripts() -> tuple[Path, ...]:
    """What fetches it, the first by means of the others: in a checkout's scripts/, in a wheel inside the package."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parent / "scripts", package / "scripts"):
        if (folder / _SCRIPTS[0]).is_file():
            return tuple(folder / name for name in _SCRIPTS)
    raise ProvisionError(f"the scripts that fetch etcd are not beside {package}", hint="install provision anew")


def fetch(folder: Path, *, log: Path) -> None:
    """Have etcd's programs in the folder.

    :param log: takes what apt says.
    :raises MachineLacks: Debian's mirror is out of reach, or this machine has no apt.
    """
    if all(os.access(folder / program, os.X_OK) for program in PROGRAMS):
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    start = log.stat().st_size if log.exists() else 0
    try:
        with log.open("a") as output:
            command.run(["bash", scripts()[0], folder], timeout=FETCH_SECONDS, log=output)
    except CommandFailed as error:
        said = [line for line in log.read_bytes()[start:].decode(errors="replace").splitlines() if line.strip()]
        reason = next((line for line in said if line.startswith("E: ")), said[-1] if said else error.message)
        raise MachineLacks(
            f"etcd could not be fetched: {reason.removeprefix('E: ')}",
            hint="it comes once from Debian's package mirror, by apt: check `apt-get update` on this machine, "
            f"or name another mirror in {MIRROR_VARIABLE}",
            log=log,
        ) from error
