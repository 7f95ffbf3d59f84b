"""Every scenario of chaos on a swarm of swarmd's, and what is left of one that is broken off."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest
from conftest import PROVISION, must, new_lab, provider, run_provision

from provisioner import state
from provisioner.chaos import catalogue, healing
from provisioner.chaos.bounds import bounds
from provisioner.chaos.faults import Faults
from provisioner.lab import describe
from provisioner.machines import ssh
from provisioner.state import LabFolder
from provisioner.swarm import connect, matches, read

MINUTES = 60
IN_THE_GATE = ("kill-leader", "hang-daemon")
SCENARIOS = [
    pytest.param(name, marks=() if name in IN_THE_GATE else pytest.mark.slow)
    for name in map(str, catalogue.all_for(describe(managers=3, engine="swarmd")))
]


@pytest.fixture(scope="module")
def lab() -> Iterator[LabFolder]:
    """Three managers, each with swarmd. Who breaks it repairs it."""
    with new_lab("chaos", "--managers", "3", "--engine", "swarmd") as lab:
        yield lab


def as_before(lab: LabFolder) -> list[str]:
    """What differs from a healthy lab without a trace of chaos."""
    spec, machines = state.load(lab).spec, provider(lab).machines()
    found = matches(spec, read(machines))
    with connect(machines[0], 10) as client:
        found += [service["Spec"]["Name"] for service in client.services()]
        found += [config["Spec"]["Name"] for config in client.configs()]
    return found + [line for host in machines for line in on_host(lab, host.name, "nft list tables").splitlines()
                    if "provision-" in line]  # fmt: skip


def on_host(lab: LabFolder, host: str, text: str) -> str:
    return subprocess.run(ssh.argv(lab, host, [text]), capture_output=True, text=True, timeout=30, check=True).stdout


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_shows_what_it_promises(lab: LabFolder, scenario: str) -> None:
    shown = must(run_provision("chaos", "--name", lab.name, *scenario.split(), timeout=10 * MINUTES)).stdout
    assert "every acknowledged write is there on manager1, manager2, manager3" in shown
    assert re.search(r"containers that had to keep running: [1-9]\d*, interrupted: 0", shown)
    assert as_before(lab) == []


@pytest.mark.slow
def test_a_daemon_that_hung_was_restarted_and_the_supervisor_lived(lab: LabFolder) -> None:
    leader = read(provider(lab).machines()).quorum.leader
    main = "systemctl show --property MainPID --value swarmd.service"
    supervisor, daemon = on_host(lab, leader, main), on_host(lab, leader, f"pgrep --parent $({main})")
    must(run_provision("chaos", "--name", lab.name, "hang-daemon", timeout=5 * MINUTES))
    assert on_host(lab, leader, main) == supervisor
    assert on_host(lab, leader, f"pgrep --parent $({main})") != daemon


def begin(lab: LabFolder, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROVISION, "chaos", "--name", lab.name, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def await_event(process: subprocess.Popen[str], event: str) -> None:
    """Read its progress until an event has happened."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if f"  {event}: " in line:
            return
    raise AssertionError(f"{event} did not happen:\n{''.join(said)}")


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "event"), [("partition-leader", "cut off"), ("freeze-leader", "frozen")])
def test_ctrl_c_ends_the_fault(lab: LabFolder, scenario: str, event: str) -> None:
    process = begin(lab, scenario)
    await_event(process, event)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everything in the foreground
    _, stderr = process.communicate(timeout=5 * MINUTES)
    assert process.returncode == 130, stderr
    assert as_before(lab) == []


@pytest.mark.slow
def test_a_host_that_was_left_frozen_is_thawed_by_up(lab: LabFolder) -> None:
    """As when everything of a scenario was killed at once."""
    spec = state.load(lab).spec
    Faults(spec, provider(lab)).freeze("manager2")
    must(run_provision("up", "--name", lab.name, "--no-verify"))
    healing.wait_until_healthy(spec, provider(lab), within=bounds(spec).restored)
