"""What each node is told of its tasks."""

import random
from datetime import timedelta

import msgspec
import pytest
from leader_and_agents import NOW, a_task

from swarmd import wire
from swarmd.api.validation import LARGEST_SPEC
from swarmd.dispatcher.assignments import Assigned, Difference
from swarmd.dispatcher.session import complete, messages
from swarmd.model import ContainerSpec, TaskSpec, TaskState
from swarmd.store import Entry, Snapshot


class Cluster:
    """Snapshots one after the other; entries that did not change stay the same objects, as in the store."""

    def __init__(self):
        self.assigned = Assigned()
        self.snapshot = Snapshot()

    def becomes(self, *tasks):
        revision = self.snapshot.revision + 1
        entries = {}
        for task in tasks:
            known = self.snapshot.tasks.get(task.id)
            entries[task.id] = known if known and known.value == task else Entry(task, revision, revision)
        self.snapshot = Snapshot(revision=revision, tasks=entries)
        return self.assigned.advance(self.snapshot)


@pytest.fixture
def cluster():
    return Cluster()


def test_a_node_is_told_its_own_tasks_once_they_are_assigned(cluster):
    assert cluster.becomes(a_task(node_id="", state=TaskState.PENDING)) == {}
    told = cluster.becomes(a_task(), a_task("t2", "n2"))
    assert {node: set(d.tasks) for node, d in told.items()} == {"n1": {"t1"}, "n2": {"t2"}}
    assert cluster.assigned.of("n1") == [a_task()]


def test_an_ended_task_is_told_until_history_forgets_it(cluster):
    ended = a_task(state=TaskState.FAILED, desired=TaskState.SHUTDOWN)
    cluster.becomes(ended)
    assert cluster.assigned.of("n1") == [ended]
    assert cluster.becomes() == {"n1": Difference(removed={"t1"})}
    assert cluster.assigned.of("n1") == []


def test_what_a_node_itself_has_reported_is_not_told_to_it(cluster):
    cluster.becomes(a_task())
    running = msgspec.structs.replace(a_task(state=TaskState.RUNNING), updated_at=NOW + timedelta(seconds=1))
    assert cluster.becomes(running) == {}
    assert cluster.assigned.of("n1") == [running]


@pytest.mark.parametrize(
    "change",
    [
        {"desired_state": TaskState.SHUTDOWN},
        {"desired_state": TaskState.REMOVE},
        {"service_labels": {"a": "b"}},
        {"run_at": NOW},
        {"spec": TaskSpec(container_spec=ContainerSpec(image="x"))},
    ],
)
def test_a_task_that_managers_have_changed_is_told_again(cluster, change):
    task = a_task(state=TaskState.RUNNING)
    cluster.becomes(task)
    changed = msgspec.structs.replace(task, **change)
    assert cluster.becomes(changed) == {"n1": Difference(tasks={"t1": changed})}
    assert cluster.becomes(changed) == {}


def test_since_when_a_task_runs_is_not_told_to_the_node_that_said_it(cluster):
    cluster.becomes(a_task(state=TaskState.STARTING))
    running = msgspec.structs.replace(a_task(state=TaskState.RUNNING), ran_at=NOW)
    assert cluster.becomes(running) == {}


def test_a_change_that_came_together_with_a_report_is_told(cluster):
    cluster.becomes(a_task())
    both = a_task(state=TaskState.RUNNING, desired=TaskState.SHUTDOWN)
    assert cluster.becomes(both) == {"n1": Difference(tasks={"t1": both})}


def test_differences_that_were_not_sent_yet_come_together():
    waiting = Difference(tasks={"t1": a_task("t1"), "t2": a_task("t2")})
    waiting.add(Difference(tasks={"t3": a_task("t3")}, removed={"t1"}))
    assert waiting == Difference(tasks={"t2": a_task("t2"), "t3": a_task("t3")}, removed={"t1"})


def test_many_changes_go_out_in_portions():
    difference = Difference({f"t{n}": a_task(f"t{n}") for n in range(250)}, {f"r{n}" for n in range(150)})
    sent = list(messages(difference))
    assert all(len(m.tasks) <= 100 and len(m.removed) <= 100 and not m.complete for m in sent)
    assert [t.id for m in sent for t in m.tasks] == list(difference.tasks)
    assert {r for m in sent for r in m.removed} == difference.removed


def test_big_tasks_go_out_in_small_portions():
    big = TaskSpec(container_spec=ContainerSpec(env=["x" * 400_000]))
    tasks = {f"t{n}": msgspec.structs.replace(a_task(f"t{n}"), spec=big) for n in range(7)}
    assert [len(m.tasks) for m in messages(Difference(tasks))] == [2, 2, 2, 1]


def test_the_largest_task_fits_into_one_message():
    """With a spec as large as the API allows, among others, and with the ids of 100,000 more."""
    largest = TaskSpec(container_spec=ContainerSpec(env=["x" * LARGEST_SPEC]))
    tasks = {f"t{n}": msgspec.structs.replace(a_task(f"t{n}"), spec=largest) for n in range(3)}
    tasks |= {f"s{n}": a_task(f"s{n}") for n in range(3)}
    assert all(len(wire.encode(m)) < wire.LARGEST_MESSAGE for m in messages(Difference(tasks)))
    last = msgspec.structs.replace(list(complete(list(tasks.values())))[-1], known=["x" * 25] * 100_000)
    assert len(wire.encode(last)) < wire.LARGEST_MESSAGE


def test_few_tasks_are_one_complete_message():
    assert list(complete([])) == [wire.Assignments(complete=True, tasks=[])]
    assert list(complete([a_task()])) == [wire.Assignments(complete=True, tasks=[a_task()])]


def test_thousands_of_tasks_are_told_in_parts_and_the_last_knows_all():
    spec = TaskSpec(container_spec=ContainerSpec(env=["x" * 1000]))
    tasks = [msgspec.structs.replace(a_task(f"t{n}"), spec=spec) for n in range(8000)]
    parts = list(complete(tasks))
    assert len(parts) > 5
    assert all(len(wire.encode(part)) < wire.LARGEST_MESSAGE / 2 for part in parts)
    assert [part.complete for part in parts] == [False] * (len(parts) - 1) + [True]
    assert [task for part in parts for task in part.tasks] == tasks
    *earlier, last = parts
    assert last.known == [task.id for part in earlier for task in part.tasks]


@pytest.mark.parametrize("seed", range(100))
def test_what_a_node_was_told_adds_up_to_what_is_its(cluster, seed):
    """Tasks come, change, go and come again, in any order of the table."""
    dice, told = random.Random(seed), {"n1": {}, "n2": {}}
    tasks = {}
    for step in range(20):
        for _ in range(dice.randint(0, 4)):
            number = dice.randint(1, 9)
            task_id = f"t{number}"
            if dice.random() < 0.4:
                tasks.pop(task_id, None)
            else:
                task = a_task(task_id, f"n{number % 2 + 1}", desired=TaskState.RUNNING)
                tasks[task_id] = msgspec.structs.replace(task, service_labels={"step": str(step)})
        order = dice.sample(list(tasks), len(tasks)) if dice.random() < 0.3 else tasks
        for node_id, difference in cluster.becomes(*(tasks[task_id] for task_id in order)).items():
            for task_id in difference.removed:
                told[node_id].pop(task_id, None)
            told[node_id] |= difference.tasks
        for node_id, its in told.items():
            assert {task.id: task for task in cluster.assigned.of(node_id)} == its
            assert its == {task.id: task for task in tasks.values() if task.node_id == node_id}
