"""The leader's loops on a store: what they do about lost races, outages, other leaders and deadlines."""

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from itertools import pairwise

import pytest
from msgspec.structs import replace
from simulation import START, RestartPolicy, TaskState, node, service

from swarmd import orchestrator, scheduler
from swarmd.errors import Deposed, Lost, NoLeader
from swarmd.model import ContainerSpec, TaskStatus
from swarmd.orchestrator.plan import planning
from swarmd.reconcile import IN_FLIGHT, LARGEST_BATCH, MOST_GUARDS, Debounce, Decision, Plan, Reconciler, now_utc
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
    await create(store, service("web", LARGEST_BATCH))
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
    assert store.sizes == [LARGEST_BATCH] * (1000 // LARGEST_BATCH)


async def test_decisions_with_many_guards_make_smaller_transactions():
    store = Racing([])
    store.lead()

    def planner(snapshot, now):
        yield
        guards = [Unchanged(Kind.NODE, f"n{number}", 0) for number in range(MOST_GUARDS)]
        each = MOST_GUARDS // 20
        return Plan(
            [replace_guards(decide(f"s{number}"), guards[number * each : (number + 1) * each]) for number in range(20)]
        )

    await Reconciler("guarded", store, store.epoch, planner).cycle(store.snapshot())
    assert store.sizes == [19, 1]  # each has one more, for the service


def replace_guards(decision, more):
    return Decision(decision.why, decision.changes, [*decision.guards, *more])


class Slow(MemoryStore):
    """Leaders' commits are made when they are let go, all that wait at once; then some fail."""

    def __init__(self, failures=()):
        super().__init__()
        self.waiting, self._failures = [], list(failures)

    async def commit(self, changes, *, guards=(), epoch=None):
        if epoch is not None:
            gate = asyncio.get_running_loop().create_future()
            self.waiting.append(gate)
            await gate
            if self._failures and (failure := self._failures.pop(0)):
                raise failure
        return await super().commit(changes, guards=guards, epoch=epoch)

    def let_go(self):
        gates, self.waiting = self.waiting, []
        for gate in gates:
            gate.set_result(None)
        return len(gates)


@asynccontextmanager
async def a_cycle_of_many(store, batches):
    """Yields once as many commits are under way as may be."""
    store.lead()
    await create(store, service("web", batches * LARGEST_BATCH))
    cycle = asyncio.ensure_future(Reconciler("orchestrator", store, store.epoch, planning).cycle(store.snapshot()))
    async with asyncio.timeout(SECONDS):
        while len(store.waiting) < min(batches, IN_FLIGHT):
            await asyncio.sleep(0)
        yield cycle
        await asyncio.wait([cycle])


async def let_all_go(store, cycle):
    while not cycle.done():
        store.let_go()
        await asyncio.sleep(0)


async def test_transactions_of_one_plan_are_under_way_at_once():
    store = Slow()
    async with a_cycle_of_many(store, IN_FLIGHT + 3) as cycle:
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(store.waiting) == IN_FLIGHT
        await let_all_go(store, cycle)
    assert len(store.snapshot().tasks) == (IN_FLIGHT + 3) * LARGEST_BATCH


async def test_one_that_loses_does_not_keep_the_others_from_being_made():
    store = Slow([Lost()])
    async with a_cycle_of_many(store, IN_FLIGHT + 3) as cycle:
        await let_all_go(store, cycle)
    assert isinstance(cycle.exception(), Lost)
    assert len(store.snapshot().tasks) == (IN_FLIGHT + 2) * LARGEST_BATCH


@pytest.mark.parametrize(
    ("failures", "raised"),
    [((Lost, NoLeader, Lost), NoLeader), ((Lost, Deposed, NoLeader), Deposed), ((NoLeader, Lost, Deposed), Deposed)],
)
async def test_without_quorum_or_leadership_no_more_is_tried_but_what_is_under_way_ends(failures, raised):
    store = Slow([failure() for failure in failures])
    async with a_cycle_of_many(store, IN_FLIGHT + 3) as cycle:
        await let_all_go(store, cycle)
    assert isinstance(cycle.exception(), raised)
    assert len(store.snapshot().tasks) == (IN_FLIGHT - 3) * LARGEST_BATCH


async def test_a_cycle_that_is_cancelled_leaves_nothing_running():
    store = Slow()
    async with a_cycle_of_many(store, IN_FLIGHT) as cycle:
        gates = store.waiting
        cycle.cancel()
    assert cycle.cancelled()
    assert all(gate.cancelled() for gate in gates)


async def test_planning_rests_as_long_as_it_took():
    """What changes meanwhile is planned together: planning takes half of the time at most."""
    store = MemoryStore()
    store.lead()
    planned = []

    def planner(snapshot, now):
        planned.append((len(snapshot.services), time.monotonic()))
        yield
        time.sleep(0.1)
        return Plan([])

    async with running(Reconciler("busy", store, store.epoch, planner).run()), asyncio.timeout(SECONDS):
        while len(planned) < 5:
            await create(store, service(f"s{len(store.snapshot().services)}"))
            await asyncio.sleep(0.001)
    begun = [moment for _, moment in planned]
    assert all(later - earlier >= 0.19 for earlier, later in pairwise(begun))


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
