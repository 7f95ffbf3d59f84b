"""What sessions say, in the store: states advance, and lost races are planned anew."""

import asyncio
from datetime import timedelta

import msgspec
import pytest
from leader_and_agents import NOW, a_node, a_task

from swarmd.dispatcher.writes import (
    IN_FLIGHT,
    LARGEST_TRANSACTION,
    MOST_IN_A_TRANSACTION,
    Sighting,
    Write,
    Writes,
    advanced,
    seen,
    transactions,
)
from swarmd.errors import Deposed, Lost, NoLeader
from swarmd.model import (
    ContainerSpec,
    Node,
    NodeDescription,
    NodeLiveness,
    NodeState,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from swarmd.store import Delete, Entry, Kind, Put, Unchanged
from swarmd.store.memory import MemoryStore

LATER = NOW + timedelta(seconds=9)
READY, DOWN = NodeState.READY, NodeState.DOWN


def status(state, **given):
    return TaskStatus(LATER, state, **given)


@pytest.mark.parametrize(
    ("known", "reported", "counts"),
    [
        (TaskState.ASSIGNED, TaskState.ACCEPTED, True),
        (TaskState.ASSIGNED, TaskState.RUNNING, True),
        (TaskState.RUNNING, TaskState.FAILED, True),
        (TaskState.RUNNING, TaskState.RUNNING, True),
        (TaskState.RUNNING, TaskState.STARTING, False),
        (TaskState.FAILED, TaskState.RUNNING, False),
        (TaskState.SHUTDOWN, TaskState.COMPLETE, False),
        (TaskState.ORPHANED, TaskState.RUNNING, False),
        (TaskState.ORPHANED, TaskState.ORPHANED, False),
        (TaskState.RUNNING, TaskState.ORPHANED, False),
        (TaskState.RUNNING, TaskState.REMOVE, False),
        (TaskState.PENDING, TaskState.RUNNING, False),
    ],
)
def test_a_tasks_state_only_advances(known, reported, counts):
    write = advanced(Entry(a_task(state=known), 1, 7), "n1", status(reported), LATER)
    assert (write is not None) == counts
    if write:
        assert write.change.value.status == status(reported)
        assert write.change.value.updated_at == LATER
        assert write.guard.version == 7


def test_what_is_not_the_nodes_or_not_there_or_not_new_is_not_written():
    assert advanced(None, "n1", status(TaskState.RUNNING), LATER) is None
    assert advanced(Entry(a_task(), 1, 1), "n2", status(TaskState.RUNNING), LATER) is None
    same = a_task()
    assert advanced(Entry(same, 1, 1), "n1", same.status, LATER) is None


def test_when_a_task_ran_is_said_once_by_the_leaders_clock():
    running = advanced(Entry(a_task(), 1, 1), "n1", TaskStatus(NOW, TaskState.RUNNING), LATER).change.value
    assert running.ran_at == LATER
    for state in (TaskState.RUNNING, TaskState.FAILED):
        after = advanced(Entry(running, 1, 2), "n1", TaskStatus(NOW, state, "again"), LATER + timedelta(1)).change.value
        assert after.ran_at == LATER


def test_what_never_ran_has_not_run():
    assert advanced(Entry(a_task(), 1, 1), "n1", status(TaskState.STARTING), LATER).change.value.ran_at is None
    assert advanced(Entry(a_task(), 1, 1), "n1", status(TaskState.REJECTED), LATER).change.value.ran_at is None


def test_a_sighting_keeps_what_it_does_not_say():
    known = NodeLiveness(READY, "", "10.0.0.1", NodeDescription(hostname="h"), NOW)
    write = seen(Entry(a_node(), 1, 7), known, Sighting(DOWN, "heartbeat failure"), LATER)
    assert write.change.value == NodeLiveness(DOWN, "heartbeat failure", "10.0.0.1", known.description, LATER)
    assert (write.guard.kind, write.guard.version) == (Kind.NODE, 7)


def test_a_new_description_changes_no_state():
    known = NodeLiveness(DOWN, "left", "10.0.0.1", NodeDescription(hostname="h"), NOW)
    write = seen(Entry(a_node(), 1, 1), known, Sighting(description=NodeDescription(hostname="i")), LATER)
    assert write.change.value == NodeLiveness(DOWN, "left", "10.0.0.1", NodeDescription(hostname="i"), NOW)


def test_a_node_that_said_it_leaves_is_not_found_missing_later():
    known = NodeLiveness(DOWN, "left", since=NOW)
    assert seen(Entry(a_node(), 1, 1), known, Sighting(DOWN, "heartbeat failure"), LATER) is None


def test_of_sightings_not_yet_stored_the_latest_counts_part_by_part():
    described = Sighting(description=NodeDescription(hostname="h"))
    ready = Sighting(READY, "", "10.0.0.1")
    assert described.over(ready) == Sighting(READY, "", "10.0.0.1", described.description)
    assert Sighting(DOWN, "why").over(ready) == Sighting(DOWN, "why", "10.0.0.1")
    assert ready.over(Sighting(DOWN, "why")) == ready


def test_since_is_when_the_state_became_this_one():
    known = NodeLiveness(READY, since=NOW)
    write = seen(Entry(a_node(), 1, 1), known, Sighting(READY, address="10.0.0.2"), LATER)
    assert write.change.value.since == NOW


def test_nothing_is_written_of_a_node_that_is_gone_or_as_it_was():
    assert seen(None, None, Sighting(READY), LATER) is None
    assert seen(Entry(a_node(), 1, 1), NodeLiveness(READY, since=NOW), Sighting(READY), LATER) is None


class Troubled(MemoryStore):
    """A store whose commits can be made to fail, or to be overtaken by another write."""

    def __init__(self):
        super().__init__()
        self.before_commit = []
        self.commits = 0

    async def commit(self, changes, *, guards=(), epoch=None):
        if epoch is not None:
            self.commits += 1
            if self.before_commit:
                await self.before_commit.pop(0)()
        return await super().commit(changes, guards=guards, epoch=epoch)


class Scene:
    def __init__(self):
        self.store = Troubled()
        self.writes = Writes(self.store, self.store.lead(), pause=0)

    async def put(self, *values):
        kinds = {Node: Kind.NODE, Task: Kind.TASK}
        await self.store.commit([Put(kinds[type(value)], value.id, value) for value in values])

    async def settled(self):
        async with asyncio.timeout(5):
            await self.writes.settled()

    def state(self, task_id="t1"):
        return self.store.snapshot().tasks[task_id].value.status.state


@pytest.fixture
async def scene():
    scene = Scene()
    await scene.put(a_node(), a_task())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(scene.writes.run())
        yield scene
        running.cancel()


async def test_what_was_said_is_stored_when_it_has_settled(scene):
    scene.writes.see("n1", Sighting(READY, "", "10.0.0.1", NodeDescription(hostname="h")))
    scene.writes.report("n1", {"t1": status(TaskState.RUNNING)})
    await scene.settled()
    assert scene.state() is TaskState.RUNNING
    assert scene.store.snapshot().liveness["n1"].value.address == "10.0.0.1"
    assert scene.store.commits == 1


async def test_many_reports_are_few_transactions(scene):
    many = MOST_IN_A_TRANSACTION * 2 + 1
    await scene.put(*(a_task(f"x{n}") for n in range(many)))
    for n in range(many):
        scene.writes.report("n1", {f"x{n}": status(TaskState.RUNNING)})
    await scene.settled()
    assert {scene.state(f"x{n}") for n in range(many)} == {TaskState.RUNNING}
    assert scene.store.commits == 3


async def test_transactions_are_under_way_at_once_and_one_that_loses_is_made_again(scene):
    """The first waits until three others have come to its side, and then loses."""
    many = MOST_IN_A_TRANSACTION * 5
    await scene.put(*(a_task(f"x{n}") for n in range(many)))
    together = asyncio.Barrier(IN_FLIGHT)

    async def waits():
        await together.wait()

    async def waits_and_loses():
        await together.wait()
        raise Lost

    scene.store.before_commit = [waits_and_loses, *[waits] * (IN_FLIGHT - 1)]
    for n in range(many):
        scene.writes.report("n1", {f"x{n}": status(TaskState.RUNNING)})
    await scene.settled()
    assert {scene.state(f"x{n}") for n in range(many)} == {TaskState.RUNNING}


def test_what_is_too_big_for_one_transaction_goes_into_several():
    """Each status is written with its task, and so with the whole spec."""
    big = TaskSpec(container_spec=ContainerSpec(image="img", env=["X=" + "x" * (LARGEST_TRANSACTION // 3)]))
    tasks = [msgspec.structs.replace(a_task(f"x{n}"), spec=big) for n in range(5)]
    writes = [Write(Put(Kind.TASK, task.id, task), Unchanged(Kind.TASK, task.id, 1)) for task in tasks]
    assert [len(part) for part in transactions(writes)] == [2, 2, 1]
    huge = msgspec.structs.replace(tasks[0], spec=TaskSpec(ContainerSpec(image="i" * 2 * LARGEST_TRANSACTION)))
    alone = Write(Put(Kind.TASK, huge.id, huge), writes[0].guard)
    assert [len(part) for part in transactions([alone, *writes[1:2]])] == [1, 1]


async def test_of_two_reports_the_one_that_is_further_counts(scene):
    scene.writes.report("n1", {"t1": status(TaskState.FAILED)})
    scene.writes.report("n1", {"t1": status(TaskState.RUNNING)})
    await scene.settled()
    assert scene.state() is TaskState.FAILED


async def test_another_node_cannot_speak_for_a_task_nor_silence_its_own(scene):
    scene.writes.report("n1", {"t1": status(TaskState.RUNNING)})
    scene.writes.report("n2", {"t1": status(TaskState.FAILED), "nothing": status(TaskState.FAILED)})
    await scene.settled()
    assert scene.state() is TaskState.RUNNING


async def test_an_orchestrators_write_that_came_first_is_kept(scene):
    """Both wrote the same task: the status is ours, the desired state theirs."""

    async def overtaken():
        await scene.put(a_task(desired=TaskState.SHUTDOWN))

    scene.store.before_commit = [overtaken]
    scene.writes.report("n1", {"t1": status(TaskState.RUNNING)})
    await scene.settled()
    task = scene.store.snapshot().tasks["t1"].value
    assert (task.status.state, task.desired_state) == (TaskState.RUNNING, TaskState.SHUTDOWN)
    assert scene.store.commits == 2


async def test_a_node_that_is_removed_meanwhile_leaves_no_trace(scene):
    async def removed():
        await scene.store.commit([Delete(Kind.NODE, "n1"), Delete(Kind.TASK, "t1")])

    scene.store.before_commit = [removed]
    scene.writes.see("n1", Sighting(READY))
    scene.writes.report("n1", {"t1": status(TaskState.RUNNING)})
    await scene.settled()
    assert not scene.store.snapshot().liveness
    assert not scene.store.snapshot().tasks


@pytest.mark.parametrize("trouble", [NoLeader, Lost])
async def test_trouble_of_the_store_is_waited_out(scene, trouble):
    async def fails():
        raise trouble

    scene.store.before_commit = [fails]
    scene.writes.report("n1", {"t1": status(TaskState.RUNNING)})
    await scene.settled()
    assert scene.state() is TaskState.RUNNING


async def test_a_deposed_leader_writes_nothing_and_ends():
    scene = Scene()
    await scene.put(a_node(), a_task())
    scene.store.lead()
    scene.writes.report("n1", {"t1": status(TaskState.RUNNING)})
    with pytest.raises(Deposed):
        await scene.writes.run()
    assert scene.state() is TaskState.ASSIGNED
