"""The leader's loops on a store: what they do about lost races, outages, other leaders and deadlines."""

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from msgspec.structs import replace
from simulation import START, RestartPolicy, TaskState, node, service

from swarmd import orchestrator, scheduler
from swarmd.errors import Deposed, Lost, NoLeader
from swarmd.model import ContainerSpec, TaskStatus
from swarmd.orchestrator.plan import planning
from swarmd.reconcile import LARGEST_BATCH, Debounce, Decision, Plan, Reconciler, now_utc
from swarmd.store.contract import Kind, Put, Unchanged
from swarmd.store.memory import MemoryStore

SECONDS = 20


@pytest.fixture
def store():
    store = MemoryStore()
    store.lead()
    return store


@asynccontextmanager
async def running(*coroutines):
    """Loops that are cancelled at the end; one that fails meanwhile fails the test."""
    loops = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        yield loops
    finally:
        for loop in loops:
            if not loop.done():
                loop.cancel()
        for loop in loops:
            with suppress(asyncio.CancelledError):
                await loop


async def until(store, holds):
    """The first snapshot for which it holds."""
    async with asyncio.timeout(SECONDS):
        snapshot = store.snapshot()
        while not holds(snapshot):
            snapshot = await store.changed(snapshot.revision)
        return snapshot


def tasks(snapshot):
    return [entry.value for entry in snapshot.tasks.values()]


async def create(store, new):
    await store.commit([Put(Kind.SERVICE, new.id, new)])


async def add_node(store, name):
    member, liveness = node(name)
    await store.commit([Put(Kind.NODE, name, member), Put(Kind.LIVENESS, name, liveness)])


async def report(store, task, state):
    entry = store.snapshot().tasks[task.id]
    status = TaskStatus(timestamp=now_utc(), state=state)
    await store.commit([Put(Kind.TASK, task.id, replace(entry.value, status=status))])


async def test_a_service_gets_its_tasks_and_they_get_nodes(store):
    await add_node(store, "a")
    await add_node(store, "b")
    async with running(orchestrator.run(store, store.epoch), scheduler.run(store, store.epoch)):
        await create(store, service("web", 4))
        snapshot = await until(store, lambda now: len([task for task in tasks(now) if task.node_id]) == 4)
    assert sorted(task.node_id for task in tasks(snapshot)) == ["a", "a", "b", "b"]


async def test_what_was_there_before_the_leader_is_reconciled_first(store):
    await create(store, service("web", 3))
    async with running(orchestrator.run(store, store.epoch)):
        await until(store, lambda now: len(now.tasks) == 3)


async def test_a_delay_ends_without_anything_having_changed(store):
    await create(store, service("web", policy=RestartPolicy(delay=200_000_000)))
    async with running(orchestrator.run(store, store.epoch)):
        snapshot = await until(store, lambda now: len(now.tasks) == 1)
        await report(store, tasks(snapshot)[0], TaskState.FAILED)
        snapshot = await until(store, lambda now: len(now.tasks) == 2)
        waiting = tasks(snapshot)[1]
        assert waiting.desired_state is TaskState.READY
        await until(store, lambda now: now.tasks[waiting.id].value.desired_state is TaskState.RUNNING)


@pytest.mark.parametrize("run", [orchestrator.run, scheduler.run])
async def test_a_deposed_leaders_loop_ends(store, run):
    await add_node(store, "a")
    await create(store, service("web"))
    old = store.epoch
    store.lead()
    if run is scheduler.run:
        async with running(orchestrator.run(store, store.epoch)):
            await until(store, lambda now: now.tasks)
    with pytest.raises(Deposed):
        async with asyncio.timeout(SECONDS):
            await run(store, old)


class Racing(MemoryStore):
    """Before a leader's commit, as often as is said, somebody else's write comes in between."""

    def __init__(self, between):
        super().__init__()
        self._between = list(between)
        self.sizes = []

    async def commit(self, changes, *, guards=(), epoch=None):
        if epoch is not None:
            self.sizes.append(len(changes))
            if self._between:
                await super().commit([self._between.pop(0)])
        return await super().commit(changes, guards=guards, epoch=epoch)


async def test_a_lost_race_is_planned_again_from_what_won_it():
    fewer = service("web", 2)
    store = Racing([Put(Kind.SERVICE, "web", fewer)])
    store.lead()
    await create(store, service("web", 5))
    async with running(orchestrator.run(store, store.epoch)):
        snapshot = await until(store, lambda now: len(now.tasks) == 2)
        assert sorted(task.slot for task in tasks(snapshot)) == [1, 2]


async def test_a_cycle_makes_what_it_can_and_then_says_that_it_lost():
    store = Racing([Put(Kind.SERVICE, "web", service("web", 1))])
    store.lead()
    await create(store, service("web", LARGEST_BATCH - 1))  # and one guard more, for the service
    await create(store, service("db", 3))
    with pytest.raises(Lost):
        await Reconciler("orchestrator", store, store.epoch, planning).cycle(store.snapshot())
    assert {task.service_name for task in tasks(store.snapshot())} == {"db"}


async def test_after_lost_races_batches_get_smaller_so_that_a_busy_task_holds_up_no_others(store):
    """One decision of ten never succeeds: its task has changed each time. The others are made all the same."""
    reconciler = Reconciler("ten", store, store.epoch, ten_of_which_one_is_stale)
    for _ in range(10):
        with suppress(Lost):
            await reconciler.cycle(store.snapshot())
    assert sorted(store.snapshot().services) == [f"s{number}" for number in range(10) if number != 5]


def ten_of_which_one_is_stale(snapshot, now):
    yield
    names = [f"s{number}" for number in range(10) if f"s{number}" not in snapshot.services]
    return Plan([decide(name, 1 if name == "s5" else 0) for name in names])


def decide(name, version=0):
    change = Put(Kind.SERVICE, name, service(name))
    return Decision(f"{name}: made", [change], [Unchanged(Kind.SERVICE, name, version)])


class Failing(MemoryStore):
    """Each of these kinds of calls fails once, with its effect or without it."""

    def __init__(self, *, written):
        super().__init__()
        self._written = written
        self._read_fails = self._commit_fails = True

    async def fresh(self):
        if self._read_fails:
            self._read_fails = False
            raise NoLeader
        return await super().fresh()

    async def commit(self, changes, *, guards=(), epoch=None):
        if epoch is not None and self._commit_fails:
            self._commit_fails = False
            if self._written:
                await super().commit(changes, guards=guards, epoch=epoch)
            raise NoLeader
        return await super().commit(changes, guards=guards, epoch=epoch)


@pytest.mark.parametrize("written", [True, False])
async def test_after_an_outage_it_goes_on_and_nothing_is_made_twice(written):
    store = Failing(written=written)
    store.lead()
    await create(store, service("web", 3))
    async with running(orchestrator.run(store, store.epoch)):
        await until(store, lambda now: len(now.tasks) == 3)
        await create(store, service("db", 1))
        snapshot = await until(store, lambda now: any(task.service_name == "db" for task in tasks(now)))
    assert sorted(task.slot for task in tasks(snapshot) if task.service_name == "web") == [1, 2, 3]


async def test_a_defect_in_planning_is_logged_and_does_not_end_the_loop(store):
    attempts = []

    def planner(snapshot, now):
        attempts.append(now)
        if len(attempts) == 1:
            raise ZeroDivisionError
        return (yield from planning(snapshot, now))

    await create(store, service("web"))
    async with running(Reconciler("defective", store, store.epoch, planner).run()):
        await until(store, lambda now: now.tasks)


async def test_many_changes_go_in_transactions_of_bounded_size():
    store = Racing([])
    store.lead()
    await create(store, service("web", 1000))
    await Reconciler("orchestrator", store, store.epoch, planning).cycle(store.snapshot())
    most = LARGEST_BATCH - 1  # one guard is the service's
    assert store.sizes == [most] * 5 + [1000 - 5 * most]


async def test_big_specs_make_smaller_transactions():
    store = Racing([])
    store.lead()
    big = ContainerSpec(image="img", env=["X=" + "x" * 100_000])
    new = service("web", 20)
    new = replace(new, spec=replace(new.spec, task_template=replace(new.spec.task_template, container_spec=big)))
    await create(store, new)
    await Reconciler("orchestrator", store, store.epoch, planning).cycle(store.snapshot())
    assert store.sizes == [10, 10]


async def test_a_cycle_says_what_it_did_and_why(store):
    await create(store, service("web", 3))
    await create(store, service("db", 1))
    reconciler = Reconciler("orchestrator", store, store.epoch, planning)
    assert await reconciler.cycle(store.snapshot()) == ("web: scaled up (3); db: scaled up (1)", None)
    assert await reconciler.cycle(store.snapshot()) == ("nothing to do", None)


async def test_a_cycle_says_when_to_look_again(store):
    await create(store, service("web"))
    reconciler = Reconciler("orchestrator", store, store.epoch, planning, clock=lambda: START)
    await reconciler.cycle(store.snapshot())
    await report(store, tasks(store.snapshot())[0], TaskState.FAILED)
    assert await reconciler.cycle(store.snapshot()) == ("web: task failed (1)", START + timedelta(seconds=5))


class Counting:
    def __init__(self):
        self.seen = []

    def __call__(self, snapshot, now):
        self.seen.append(snapshot)
        yield
        return Plan([])


async def test_a_revision_that_changed_nothing_is_not_planned(store):
    planner = Counting()
    async with running(Reconciler("counting", store, store.epoch, planner).run()):
        await asyncio.sleep(0)
        store.lead()
        await asyncio.sleep(0)
        store.lead()
        await create(store, service("web"))
        async with asyncio.timeout(SECONDS):
            while len(planner.seen) < 2:
                await asyncio.sleep(0.01)
    assert [len(snapshot.services) for snapshot in planner.seen] == [0, 1]


async def test_changes_that_come_one_after_the_other_are_planned_together(store):
    planner = Counting()
    reconciler = Reconciler("counting", store, store.epoch, planner, debounce=Debounce(quiet=0.5, longest=5))
    async with running(reconciler.run()):
        await asyncio.sleep(0)
        for number in range(10):
            await create(store, service(f"s{number}"))
            await asyncio.sleep(0.001)
        async with asyncio.timeout(SECONDS):
            while len(planner.seen) < 2:
                await asyncio.sleep(0.01)
    assert [len(snapshot.services) for snapshot in planner.seen] == [0, 10]


async def test_changes_that_never_cease_are_planned_all_the_same(store):
    planner = Counting()
    reconciler = Reconciler("counting", store, store.epoch, planner, debounce=Debounce(quiet=5, longest=0.2))
    async with running(reconciler.run()), asyncio.timeout(SECONDS):
        number = 0
        while len(planner.seen) < 2:
            number += 1
            await create(store, service(f"s{number}"))
            await asyncio.sleep(0.01)


async def test_planning_pauses_so_that_the_loop_stays_free(store):
    """A pause for each 500 tasks read, and for each slot of a service."""
    await create(store, service("web", 2000))
    await Reconciler("orchestrator", store, store.epoch, planning).cycle(store.snapshot())
    pauses = sum(1 for _ in planning(store.snapshot(), START))
    assert pauses > 2000


async def test_cancelling_ends_the_loop(store):
    async with running(orchestrator.run(store, store.epoch)) as (loop,):
        await asyncio.sleep(0)
        loop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loop
