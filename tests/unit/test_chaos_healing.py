"""The way back: an unhealthy lab is refused before anything is done, leftovers go, and no token gets into a log."""

import pytest
from fake_engine import FakeEngine, machine, node

from provisioner.chaos import healing, rejoining
from provisioner.errors import LabUnhealthy, ProvisionError, UsageError
from provisioner.lab import describe
from provisioner.progress import Progress

TOKEN = "SWMTKN-1-digest-secret"  # noqa: S105


class Machines:
    """A provider whose machines can be listed and started."""

    def __init__(self, *machines, failures=None):
        self._machines = list(machines)
        self._failures = failures or {}
        self.started = []

    def machines(self):
        return self._machines

    def start(self, names, progress):
        self.started += names
        return {name: why for name, why in self._failures.items() if name in names}


def test_a_healthy_lab_passes(tmp_path):
    nodes = [node("manager1", leader=True), node("manager2")]
    one = FakeEngine(tmp_path / "manager1.sock", answers={"/nodes": nodes, "/tasks": [], "/services": []})
    with one, FakeEngine(tmp_path / "manager2.sock"):
        provider = Machines(machine("manager1", tmp_path), machine("manager2", tmp_path))
        assert healing.check(describe(managers=2), provider).quorum.leader == "manager1"


def test_an_unhealthy_lab_is_refused_with_what_is_wrong(tmp_path):
    nodes = [node("manager1", leader=True), node("manager2")]
    with FakeEngine(tmp_path / "manager1.sock", answers={"/nodes": nodes, "/tasks": [], "/services": []}):
        provider = Machines(machine("manager1", tmp_path), machine("manager2", tmp_path, state="stopped"))
        with pytest.raises(LabUnhealthy, match="manager2: the machine is stopped") as caught:
            healing.check(describe(managers=2, name="course"), provider)
    assert caught.value.hint == "provision up --name course repairs it"


def test_machines_that_are_not_ours_are_never_broken(tmp_path):
    with pytest.raises(UsageError, match="not ours to switch off"):
        healing.check(describe(managers=1, provider="inventory"), Machines())


def test_a_wait_for_health_ends_with_what_differs(tmp_path):
    provider = Machines(machine("manager1", tmp_path, state="stopped"))
    with pytest.raises(LabUnhealthy, match=r"not as before after 0 s: manager1: the machine is stopped"):
        healing.wait_until_healthy(describe(managers=1), provider, within=0)


def test_all_hosts_that_are_off_are_started_and_failures_named(tmp_path):
    off = [machine(name, tmp_path, state="stopped") for name in ("manager2", "manager3")]
    provider = Machines(machine("manager1", tmp_path), *off, failures={"manager3": "no console"})
    with pytest.raises(ProvisionError, match="manager3: no console"):
        healing.start_all(provider, Progress(quiet=True))
    assert provider.started == ["manager2", "manager3"]


def test_only_what_chaos_made_is_removed(tmp_path):
    services = [
        {"ID": "ours", "Spec": {"Name": "chaos-tasks", "Labels": {"provision.chaos": "tasks"}}},
        {"ID": "theirs", "Spec": {"Name": "chaos-looking", "Labels": None}},
    ]
    configs = [
        {"ID": "our-config", "Spec": {"Name": "chaos-config", "Labels": {"provision.chaos": "config"}}},
        {"ID": "their-config", "Spec": {"Name": "chaos-config-2", "Labels": {}}},
    ]
    answers = {"/services": services, "/services/ours": {}, "/secrets": [], "/networks": []}
    answers |= {"/configs": configs, "/configs/our-config": {}}
    with FakeEngine(tmp_path / "manager1.sock", answers=answers) as engine:
        healing.remove_leftovers(describe(managers=1), machine("manager1", tmp_path))
    assert [line for line in engine.seen if line.startswith("DELETE")] == [
        "DELETE /services/ours?", "DELETE /configs/our-config?",
    ]  # fmt: skip


def test_an_engine_is_not_asked_for_kinds_that_it_has_not_got(tmp_path):
    answers = {"/services": [], "/configs": []}
    with FakeEngine(tmp_path / "manager1.sock", answers=answers) as engine:
        healing.remove_leftovers(describe(managers=1, engine="swarmd"), machine("manager1", tmp_path))
    assert not [line for line in engine.seen if "secrets" in line or "networks" in line]


def test_a_join_that_fails_does_not_put_its_token_into_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(rejoining, "DEADLINE", 0)
    survivor = {"/swarm": {"JoinTokens": {"Manager": TOKEN}}, "/nodes": [node("manager1", leader=True)]}
    with (
        FakeEngine(tmp_path / "manager1.sock", answers=survivor),
        FakeEngine(tmp_path / "manager2.sock", swarm="inactive", answers={"/swarm/leave": {}}) as joining,
    ):
        joining.refuse("/swarm/join", "rpc error: code = Unavailable desc = connection refused")
        provider = Machines(machine("manager1", tmp_path), machine("manager2", tmp_path))
        with pytest.raises(ProvisionError, match="manager2 joins manager1: not within 0 s") as caught:
            rejoining.rejoin_all(describe(managers=2), provider, "manager1", Progress(quiet=True))
    assert "connection refused" in caught.value.message
    assert TOKEN not in str(caught.getrepr(style="long", funcargs=True))


def test_the_survivor_is_never_told_to_leave(tmp_path, monkeypatch):
    """Not even when it does not answer: it holds the only copy of the cluster's state."""
    monkeypatch.setattr(rejoining, "DEADLINE", 0)
    with FakeEngine(tmp_path / "manager1.sock") as survivor, FakeEngine(tmp_path / "worker1.sock") as worker:
        survivor.refuse("/nodes", "rpc error: code = Unavailable desc = connection error")
        provider = Machines(machine("manager1", tmp_path), machine("worker1", tmp_path))
        with pytest.raises(ProvisionError, match="manager1 names the nodes: not within 0 s"):
            rejoining.rejoin_all(describe(managers=1, workers=1), provider, "manager1", Progress(quiet=True))
    assert not [line for line in survivor.seen + worker.seen if "leave" in line]


def test_a_dead_entry_of_the_old_cluster_is_removed_as_it_is(tmp_path):
    """Docker cannot demote a manager that is no member of the Raft group."""
    stale = {**node("manager2", status="down"), "Version": {"Index": 7}}
    del stale["ManagerStatus"]
    answers = {"/nodes": [node("manager1", leader=True), stale], "/nodes/id-manager2": {}}
    with FakeEngine(tmp_path / "manager1.sock", answers=answers) as engine:
        rejoining._forget(machine("manager1", tmp_path), "manager2")
    assert not [line for line in engine.seen if "update" in line]
    assert "DELETE /nodes/id-manager2?force=True" in engine.seen
