"""Labs on real hosts. They need root and take minutes; `make lab` runs them."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provisioner import state
from provisioner.machines import Provider
from provisioner.machines.select import provider as provider_of
from provisioner.state import LabFolder

PROVISION = Path(sys.executable).with_name("provision")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run_provision(
    *words: str | Path, env: dict[str, str] | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, from another folder than the checkout."""
    environment = {**os.environ, **(env or {})}
    return subprocess.run(
        [PROVISION, *words], capture_output=True, text=True, env=environment, timeout=timeout, cwd="/", check=False
    )


def must(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert done.returncode == 0, f"{done.args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def path_without(folder: Path, *absent: str) -> str:
    """A PATH, made of links in ``folder``, that has all of this machine's programs but some."""
    for place in os.environ["PATH"].split(":"):
        for program in Path(place).glob("*") if Path(place).is_dir() else []:
            if program.name not in absent and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return str(folder)


@pytest.fixture(scope="session", autouse=True)
def _as_root() -> None:
    if os.geteuid() != 0:
        pytest.exit("the lab tests make namespaces and mounts: run them as root", returncode=1)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the sockets below it; pytest's own are too long."""
    with tempfile.TemporaryDirectory(prefix="p-", dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def provision() -> Run:
    return run_provision


@contextlib.contextmanager
def new_lab(prefix: str, *words: str) -> Iterator[LabFolder]:
    """A lab whose name begins so; taken away also where it did not come up, or its ``up`` was broken off."""
    name = f"{prefix}-{secrets.token_hex(2)}"
    try:
        must(run_provision("up", "--name", name, "--offline", "--no-verify", *words, timeout=1200))
        yield state.folder(name)
    finally:
        must(run_provision("down", "--name", name))


@pytest.fixture(scope="session")
def lab() -> Iterator[LabFolder]:
    """Three managers in a swarm. Who breaks it repairs it."""
    with new_lab("three", "--managers", "3") as lab:
        yield lab


@pytest.fixture(scope="module")
def one_manager_lab() -> Iterator[LabFolder]:
    """One manager and two workers, as the walkthrough begins."""
    with new_lab("one", "--managers", "1", "--workers", "2") as lab:
        yield lab


@pytest.fixture(scope="module")
def five_manager_lab() -> Iterator[LabFolder]:
    with new_lab("five", "--managers", "5") as lab:
        yield lab


def provider(lab: LabFolder) -> Provider:
    return provider_of(lab, state.load(lab))
