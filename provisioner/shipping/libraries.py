"""A tree of libraries for the hosts' Python, from wheels alone, so that the hosts need neither pip nor a compiler."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from provisioner import command
from provisioner.command import CommandFailed
from provisioner.errors import MachineLacks, ProvisionError
from provisioner.shipping import requirements
from provisioner.shipping.target import Target

DOWNLOAD_SECONDS = 900
INSTALL_SECONDS = 120
# What a wheel's markers ask for on another Python than ours shows only once it is there; chains of those are short.
ROUNDS = 5
# Programs that wheels bring; each would start with this machine's Python.
_UNWANTED = "bin"


def make(target: Target, pins: Sequence[str], tree: Path, *, log: Path, doing: Callable[[str], None]) -> None:
    """Make ``tree`` the folder that holds these distributions, and all that they need, for the target's Python.

    :param log: takes what pip says.
    :raises MachineLacks: pip is not there, or the package index is out of reach.
    """
    wheels = tree.with_name(f"{tree.name}.wheels")
    for folder in (tree, wheels):
        shutil.rmtree(folder, ignore_errors=True)
    wheels.mkdir(parents=True)
    doing(f"fetching libraries for Python {target.python}")
    closed = _fetch(target, pins, wheels, log)
    doing(f"unpacking libraries for Python {target.python}")
    _pip(
        "install", target, log, INSTALL_SECONDS,
        "--no-deps", "--no-index", "--no-compile", "--target", str(tree), *sorted(map(str, closed.used)),
    )  # fmt: skip
    shutil.rmtree(tree / _UNWANTED, ignore_errors=True)
    shutil.rmtree(wheels)


def _fetch(target: Target, pins: Sequence[str], wheels: Path, log: Path) -> requirements.Closure:
    asked = list(pins)
    for _ in range(ROUNDS):
        _pip("download", target, log, DOWNLOAD_SECONDS, "--dest", str(wheels), *asked)
        closed = requirements.closure(pins, requirements.wheels(wheels), target)
        if not closed.missing:
            return closed
        asked = [*pins, *closed.missing]
    raise ProvisionError(f"libraries of swarmd are missing after {ROUNDS} downloads: {', '.join(closed.missing)}")


def _pip(verb: str, target: Target, log: Path, seconds: float, *words: str) -> None:
    argv = [
        sys.executable, "-m", "pip", verb, "--quiet", "--no-input", "--disable-pip-version-check",
        "--only-binary=:all:", "--implementation", "cp", "--python-version", target.python,
        *(word for platform in target.platforms for word in ("--platform", platform)), *words,
    ]  # fmt: skip
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    start = log.stat().st_size if log.exists() else 0
    try:
        with log.open("a") as output:
            command.run(argv, timeout=seconds, log=output)
    except CommandFailed as error:
        said = log.read_bytes()[start:].decode(errors="replace")
        raise _explained(said, error, log) from error


def _explained(said: str, error: CommandFailed, log: Path) -> MachineLacks:
    if "No module named pip" in said:
        return MachineLacks(
            f"{sys.executable} has no pip, which fetches the libraries of swarmd",
            hint=f"{sys.executable} -m ensurepip, or apt-get install python3-pip",
        )
    reasons = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    return MachineLacks(
        f"the libraries of swarmd could not be fetched: {reasons[0] if reasons else error.message.splitlines()[-1]}",
        hint="they come once from the Python package index: check this machine's network, or name a mirror of it "
        "in PIP_INDEX_URL; then repeat the command",
        log=log,
    )
