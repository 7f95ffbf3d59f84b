"""Chapter 3 of the walkthrough on real hosts: each row of its table, a forced new cluster, chaos that must fail."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PROVISION, must, provider, run_provision

from provisioner import images, state
from provisioner.chaos import healing
from provisioner.chaos.bystanders import SERVICE
from provisioner.chaos.experiment import Experiment
from provisioner.chaos.kill_managers import KillManagers
from provisioner.chaos.timeline import FIRST_WRITE, LEADER_STAYS, NEW_LEADER, NOTICED, RESTORED
from provisioner.chaos.workload import writer_service
from provisioner.lab import HostSpec
from provisioner.machines import Machine
from provisioner.progress import Progress
from provisioner.state import LabFolder
from provisioner.swarm import connect, matches, read

MINUTES = 60


def machine(lab: LabFolder, name: str) -> Machine:
    return next(each for each in provider(lab).machines() if each.name == name)


def docker(lab: LabFolder, host: str, *words: str) -> str:
    return must(run_provision("ssh", "--name", lab.name, host, "--", "docker", *words)).stdout


def play(lab: LabFolder, *words: str) -> str:
    """Play a scenario, see it succeed, and see nothing left over. What it printed."""
    shown = must(run_provision("chaos", "--name", lab.name, *words, timeout=10 * MINUTES)).stdout
    assert "every acknowledged write is there on" in shown
    assert as_before(lab) == []
    return shown


def as_before(lab: LabFolder) -> list[str]:
    """What differs from a healthy lab without a trace of chaos."""
    spec, machines = state.load(lab).spec, provider(lab).machines()
    found = matches(spec, read(machines))
    with connect(machine(lab, spec.managers[0].name), 10) as client:
        found += [service["Spec"]["Name"] for service in client.services()]
        found += [secret["Spec"]["Name"] for secret in client.secrets()]
        found += [each["Name"] for each in client.networks() if each["Name"].startswith("chaos-")]
    return found


def seconds(shown: str, event: str) -> float:
    """From the timeline that was printed."""
    match = re.search(rf"([+-][\d.]+) │ {re.escape(event)} ", shown)
    assert match, f"no {event!r} in\n{shown}"
    return float(match[1])


# -- one manager and two workers ------------------------------------------------------------------------------------


def test_row_1_without_its_only_manager_there_is_no_management_and_tasks_run_on(one_manager_lab: LabFolder) -> None:
    shown = play(one_manager_lab, "kill-managers", "--count", "1")
    assert "expected: no host answers `docker node ls`" in shown
    assert "containers that had to keep running: 4, interrupted: 0" in shown
    assert 0 < seconds(shown, FIRST_WRITE) < seconds(shown, RESTORED)


@pytest.fixture(scope="module")
def promoted_lab(one_manager_lab: LabFolder) -> Iterator[LabFolder]:
    """The same lab with worker1 promoted, and a record that asks for that."""
    record = state.load(one_manager_lab)
    promoted = HostSpec(**{**record.spec.host("worker1").model_dump(), "role": "manager"})
    hosts = tuple(promoted if host.name == promoted.name else host for host in record.spec.hosts)
    spec = record.spec.model_copy(update={"hosts": hosts})
    docker(one_manager_lab, "manager1", "node", "promote", "worker1")
    state.save(one_manager_lab, record.model_copy(update={"spec": spec}))
    healing.wait_until_healthy(spec, provider(one_manager_lab), within=MINUTES)
    yield one_manager_lab
    docker(one_manager_lab, "manager1", "node", "demote", "worker1")
    state.save(one_manager_lab, record)


def test_row_2_two_managers_tolerate_no_loss(promoted_lab: LabFolder) -> None:
    shown = play(promoted_lab, "kill-managers", "--count", "1")
    assert "power off 1 of 2 managers, the leader among them; 1 is left and a majority is 2" in shown
    assert seconds(shown, NOTICED) < seconds(shown, FIRST_WRITE)


def test_a_survivor_makes_a_new_cluster_of_what_it_knows(promoted_lab: LabFolder) -> None:
    shown = play(promoted_lab, "force-new-cluster")
    assert "worker2 Ready" in shown
    assert "expectations: 7 passed" in shown


def test_a_lost_worker_costs_its_tasks_a_move_and_management_nothing(one_manager_lab: LabFolder) -> None:
    shown = play(one_manager_lab, "kill-worker")
    assert seconds(shown, LEADER_STAYS) < 10
    assert seconds(shown, NOTICED) < 40


# -- three managers -------------------------------------------------------------------------------------------------


def test_row_3_three_managers_lose_their_leader_and_go_on(lab: LabFolder) -> None:
    shown = play(lab, "kill-leader")
    assert seconds(shown, NEW_LEADER) < 60
    assert seconds(shown, FIRST_WRITE) < 60


# The writers run in this process, and Docker's library never closes a socket whose connect() failed: the interpreter
# does, with a warning, when the host of a writer has died.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_row_3_three_managers_lose_another_and_hardly_notice(lab: LabFolder, tmp_path: Path) -> None:
    record, work = state.load(lab), provider(lab)
    images.load(work.machines(), ["busybox"], Progress(quiet=True))
    scenario = KillManagers(1, spare_leader=True)
    experiment = Experiment(record.spec, work, history=tmp_path / "history.jsonl", progress=Progress(quiet=True))
    with work.working(), experiment:
        outcome = scenario.play(experiment)
    assert outcome.leader not in outcome.victims
    for name in (LEADER_STAYS, FIRST_WRITE, NOTICED):
        assert outcome.measurement(name).kept, outcome.measurement(name).words()
    assert outcome.measurement(FIRST_WRITE).seconds < 10
    assert outcome.verdict.valid, outcome.verdict.words()
    assert (outcome.management, outcome.interrupted, outcome.restored) == ((), (), ())


def test_row_4_one_of_three_managers_stands_still_until_another_returns(lab: LabFolder) -> None:
    shown = play(lab, "kill-managers", "--count", "2")
    assert "The swarm does not have a leader. It's possible that" in shown
    assert seconds(shown, NOTICED) < seconds(shown, "recovery begins") < seconds(shown, FIRST_WRITE)


# -- five managers --------------------------------------------------------------------------------------------------


def test_row_5_five_managers_lose_two_at_once_and_go_on(five_manager_lab: LabFolder) -> None:
    shown = play(five_manager_lab, "kill-managers", "--count", "2")
    assert "3 are left and a majority is 3, so management goes on" in shown
    assert seconds(shown, FIRST_WRITE) < 60


# -- chaos that must fail, and that is broken off --------------------------------------------------------------------


def test_an_unhealthy_lab_is_left_alone(lab: LabFolder) -> None:
    leader = read(provider(lab).machines()).quorum.leader
    other = next(host.name for host in state.load(lab).spec.managers if host.name != leader)
    must(run_provision("stop", "--name", lab.name, other))
    try:
        done = run_provision("chaos", "--name", lab.name, "kill-leader")
        assert done.returncode == 4, done.stderr
        assert f"{other}: the machine is stopped" in done.stderr
        assert f"next:  provision up --name {lab.name} repairs it" in done.stderr
        assert machine(lab, leader).state == "running"
    finally:
        must(run_provision("start", "--name", lab.name, other))
        healing.wait_until_healthy(state.load(lab).spec, provider(lab), within=MINUTES)


def begin(lab: LabFolder, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROVISION, "chaos", "--name", lab.name, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def await_event(process: subprocess.Popen[str], event: str) -> str:
    """Read its progress until an event has happened; what was read."""
    read_so_far = ""
    assert process.stderr is not None
    for line in process.stderr:
        read_so_far += line
        if f"  {event}: " in line:
            return read_so_far
    raise AssertionError(f"{event} did not happen:\n{read_so_far}")


def test_what_goes_wrong_meanwhile_fails_and_is_named(lab: LabFolder) -> None:
    """A task that ends and a write that vanishes, by our own hand, are seen by the scenario."""
    process = begin(lab, "kill-leader")
    await_event(process, "killed")
    time.sleep(1)
    survivor = next(each for each in provider(lab).machines() if each.state == "running")
    with connect(survivor, 10) as client:
        victim = client.containers(filters={"label": f"com.docker.swarm.service.name={SERVICE}"})[0]
        client.remove_container(victim["Id"], force=True)
    await_event(process, NEW_LEADER)
    forget_first_write(survivor)
    stdout, stderr = process.communicate(timeout=5 * MINUTES)
    assert process.returncode == 5, stderr
    assert f"{survivor.name}: {victim['Names'][0].lstrip('/')} is not running any more" in stderr
    assert f"lacks w.1 of {survivor.name}, which were acknowledged" in stderr
    assert "5 passed, 2 failed" in stdout
    assert as_before(lab) == []


def forget_first_write(survivor: Machine) -> None:
    """Take an acknowledged write out of the cluster's state, between two of the writer's."""
    deadline = time.monotonic() + MINUTES
    while True:
        try:
            with connect(survivor, 5) as client:
                service = client.inspect_service(writer_service(survivor.name))
                spec = service["Spec"]
                labels = {key: value for key, value in spec["Labels"].items() if key != "w.1"}
                client.update_service(
                    service["ID"], service["Version"]["Index"], name=spec["Name"], labels=labels,
                    task_template=spec["TaskTemplate"], mode=spec["Mode"],
                )  # fmt: skip
            return
        except Exception:  # the writer was faster
            assert time.monotonic() < deadline


def test_ctrl_c_restores_the_lab(lab: LabFolder) -> None:
    process = begin(lab, "kill-managers", "--count", "2")
    await_event(process, "killed")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everything in the foreground
    _, stderr = process.communicate(timeout=5 * MINUTES)
    assert process.returncode == 130, stderr
    assert as_before(lab) == []


def test_the_result_as_json(lab: LabFolder) -> None:
    """It holds the outcome with its timeline, for other programs."""
    done = must(run_provision("chaos", "--json", "--name", lab.name, "kill-managers", "--count", "1", timeout=600))
    outcome = json.loads(done.stdout)["data"]["kill-managers --count 1"]
    assert {event["name"] for event in outcome["events"]} >= {"killed", NOTICED, NEW_LEADER, FIRST_WRITE, RESTORED}
    history = [json.loads(line) for line in Path(outcome["history"]).read_text().splitlines()]
    assert sum(operation["kind"] == "ok" for operation in history) == outcome["verdict"]["acknowledged"]
