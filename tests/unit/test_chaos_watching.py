"""Waits end when all was seen or ran out of time, and keep what was seen last."""

import pytest
from fake_engine import FakeEngine, machine

from provisioner.chaos import sights, watching
from provisioner.chaos.history import History
from provisioner.chaos.outcome import Refusal
from provisioner.chaos.timeline import Timeline
from provisioner.chaos.watching import Watch
from provisioner.swarm import Answer, Node, Quorum, Swarm, Task


def swarm_of(*nodes, answers=(), tasks=()):
    return Swarm(tuple(answers), nodes, tuple(tasks), Quorum((), ()))


def node(name, *, status="ready", reachability="reachable", leader=False):
    return Node(name, name, "manager", "active", status, leader, reachability, "", "", {})


EMPTY = swarm_of(answers=[Answer("manager2", "manager", "no answer in time")])


@pytest.fixture
def run(monkeypatch):
    """Watch on a clock that moves by a second at each look."""
    monkeypatch.setattr(watching, "INTERVAL", 0)

    def play(watches, swarms, since=0.0):
        now = [since]
        left = iter(swarms)

        def look():
            now[0] += 1
            return next(left)

        timeline = Timeline(lambda: now[0], lambda _: None)
        done = watching.watch(watches, look, clock=lambda: now[0], since=since, timeline=timeline, doing=lambda _: None)
        return {each.name: each for each in done}, [(event.seconds, event.name) for event in timeline.events]

    return play


def test_each_is_measured_when_it_is_seen(run):
    old, new = node("manager1", status="down", reachability="unreachable"), node("manager2", leader=True)
    calm = node("manager1")
    watches = [
        Watch("leader", sights.leader(["manager1"]), 60),
        Watch("noticed", sights.noticed(["manager1"]), 40),
    ]
    done, events = run(watches, [EMPTY, swarm_of(calm, new), swarm_of(calm, new), swarm_of(old, new)], since=10.0)
    assert done["leader"].seconds == 2
    assert done["leader"].last == "manager2 leads"
    assert done["noticed"].seconds == 4
    assert done["noticed"].last == "manager1 Down/Unreachable"
    assert events == [(12.0, "leader"), (14.0, "noticed")]


def test_what_is_not_seen_in_its_time_fails_with_the_last_observation(run):
    done, events = run([Watch("leader", sights.leader([]), 3)], [EMPTY] * 9)
    assert done["leader"].kept is False
    assert done["leader"].words() == "leader: not within 3 s; last seen: no answer in time"
    assert events == [(4.0, "not seen: leader")]


def test_a_lost_leader_that_is_still_listed_is_not_a_leader():
    assert not sights.leader(["manager1"])(swarm_of(node("manager1", leader=True))).seen


def test_a_write_is_measured_by_its_acknowledgement_not_by_the_look(run, tmp_path):
    ticks = iter([1.0, 1.5, 2.0, 2.5])
    with History(tmp_path / "h", lambda: next(ticks)) as history:
        for value in (1, 2):
            history.record("manager2", "invoke", value)
            history.record("manager2", "ok", value)
    done, events = run([Watch("write", sights.write_accepted(history, 1.8), 60)], [EMPTY])
    assert done["write"].seconds == 2.5
    assert events == [(2.5, "write")]


def test_where_no_write_is_accepted_each_writers_last_word_is_told(tmp_path):
    with History(tmp_path / "h", lambda: 2.0) as history:
        for writer, error in (("manager2", "no leader"), ("manager1", "it has no Docker socket")):
            history.record(writer, "invoke", 1)
            history.record(writer, "fail", 1, error)
        sighting = sights.write_accepted(history, 1.8)(EMPTY)
    assert not sighting.seen
    assert sighting.words == "manager1 hears: it has no Docker socket; manager2 hears: no leader"


def test_all_managers_must_refuse_in_dockers_words():
    words = "The swarm does not have a leader. It's possible that too few managers are online."

    def seen(**said):
        return sights.refused(lambda: [Refusal(host, answer) for host, answer in said.items()])(EMPTY)

    assert seen(manager2=words, manager3=words).seen
    late = seen(manager2=words, manager3="no answer in time")
    assert not late.seen
    assert "manager3: no answer in time" in late.words
    assert not seen(manager2=words, manager3="").seen


def test_tasks_on_lost_hosts_do_not_count():
    tasks = [Task(str(n), "chaos-tasks", n, f"manager{n}", "running", "") for n in (1, 2, 3)]
    look = sights.tasks_running(3, ["manager1"])
    assert look(swarm_of(node("manager2"), tasks=tasks)).words == "2 of 3 tasks run on living hosts"
    moved = Task("4", "chaos-tasks", 1, "manager2", "running", "")
    assert look(swarm_of(node("manager2"), tasks=[*tasks, moved])).seen


def test_survivors_are_asked_for_the_nodes(tmp_path):
    with (
        FakeEngine(tmp_path / "worker1.sock") as engine,
        FakeEngine(tmp_path / "manager1.sock", answers={"/nodes": []}),
    ):
        engine.refuse("/nodes", "This node is not a swarm manager.")
        found = watching.refusals([machine("worker1", tmp_path), machine("manager1", tmp_path)], timeout=2)
    assert found == [Refusal("worker1", "This node is not a swarm manager."), Refusal("manager1", "")]
