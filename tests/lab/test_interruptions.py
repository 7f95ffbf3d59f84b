"""`up` killed at any moment: the next `up` ends in the same healthy lab, and `down` leaves nothing.

`make test` takes one seeded random moment; PROVISION_TEST_SEED repeats one. `make test-interruptions` takes them all.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import leftovers
import pytest
from conftest import PROVISION, must, run_provision

from provisioner import state

LAB = f"cut-{secrets.token_hex(2)}"
UP = ["up", "--name", LAB, "--managers", "3", "--offline", "--no-verify"]
# The steps of a first `up` on a machine that has the base image, by the words that announce their end.
STEPS = ["namespaces", "Converging", "Starting 3 hosts", "Forming the swarm"]
SIGNALS = [signal.SIGKILL, signal.SIGINT, signal.SIGTERM]


@pytest.fixture(scope="module")
def base_image() -> Path:
    """The folder of base images that the other labs have made."""
    return state.home() / "cache" / "base"


@pytest.fixture
def home(short_folder: Path, base_image: Path) -> Iterator[Path]:
    """A PROVISION_HOME of the test's own, with the base image but no image of a converged host."""
    (short_folder / "cache").mkdir()
    (short_folder / "cache" / "base").symlink_to(base_image)
    try:
        yield short_folder
    finally:
        must(run_provision("down", "--all", env={state.HOME_VARIABLE: str(short_folder)}))


def _start(home: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [PROVISION, *UP], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, state.HOME_VARIABLE: str(home)}, start_new_session=True,
        )  # fmt: skip


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    process.send_signal(how)
    process.wait(60)


def _is_healthy(home: Path) -> None:
    env = {state.HOME_VARIABLE: str(home)}
    must(run_provision(*UP, env=env))
    status = json.loads(must(run_provision("status", "--name", LAB, "--json", env=env)).stdout)
    assert [host["state"] for host in status["hosts"]] == ["running"] * 3
    assert len(status["quorum"]["reachable"]) == 3


def _leaves_nothing(home: Path, before: leftovers.Machine) -> None:
    must(run_provision("down", "--name", LAB, env={state.HOME_VARIABLE: str(home)}))
    assert leftovers.of_home(home, LAB) == leftovers.Leftovers()
    assert leftovers.machine() == before


def _interrupt_after(home: Path, seconds: float, how: signal.Signals, log: Path) -> None:
    process = _start(home, log)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        _end(process, how)


def test_one_random_moment(home: Path, tmp_path: Path) -> None:
    seed = int(os.environ.get("PROVISION_TEST_SEED") or random.SystemRandom().randrange(10**6))
    draw = random.Random(seed)
    how, seconds = draw.choice(SIGNALS), draw.uniform(0.3, 25)
    print(f"\nPROVISION_TEST_SEED={seed}: {how.name} after {seconds:.1f} s")
    before = leftovers.machine()
    _interrupt_after(home, seconds, how, tmp_path / "up.log")
    _is_healthy(home)
    _leaves_nothing(home, before)


def test_down_clears_up_after_a_kill(home: Path, tmp_path: Path) -> None:
    before = leftovers.machine()
    _interrupt_after(home, 2.5, signal.SIGKILL, tmp_path / "up.log")
    _leaves_nothing(home, before)


@pytest.mark.slow
@pytest.mark.parametrize("how", SIGNALS, ids=lambda how: how.name)
@pytest.mark.parametrize("step", STEPS)
def test_after_each_step(home: Path, tmp_path: Path, step: str, how: signal.Signals) -> None:
    before = leftovers.machine()
    log = tmp_path / "up.log"
    process = _start(home, log)
    deadline = time.monotonic() + 120
    while f"✓ {step}" not in (text := log.read_text(errors="replace")) and not any(
        line.startswith("✓") and step in line for line in text.splitlines()
    ):
        assert process.poll() is None, text
        assert time.monotonic() < deadline, text
        time.sleep(0.01)
    _end(process, how)
    _is_healthy(home)
    _leaves_nothing(home, before)


@pytest.mark.slow
@pytest.mark.parametrize("how", SIGNALS, ids=lambda how: how.name)
@pytest.mark.parametrize("tenth", range(10))
def test_random_moments(home: Path, tmp_path: Path, tenth: int, how: signal.Signals) -> None:
    """One moment in each tenth of the first `up`, so that every step is hit from within."""
    before = leftovers.machine()
    seconds = (tenth + random.SystemRandom().random()) * 2.5
    print(f"\n{how.name} after {seconds:.2f} s")
    _interrupt_after(home, seconds, how, tmp_path / "up.log")
    if tenth % 2:
        _is_healthy(home)
    _leaves_nothing(home, before)
