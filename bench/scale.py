"""Measure the leader's loops with many tasks: planning alone, and written to an etcd of three members on loopback.

    python -m bench.scale [--tasks N] [--nodes N] [--services N] [--rounds N] [--only PART,PART]

No lab and no network: what the loops themselves cost. ``SWARMD_ETCD`` names another etcd than Debian 13's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from msgspec.structs import replace

from bench.etcd import Members
from bench.measuring import Row, show
from swarmd import orchestrator
from swarmd.dispatcher.assignments import Assigned
from swarmd.dispatcher.writes import Writes
from swarmd.etcd import EtcdClient
from swarmd.model import (
    ContainerSpec,
    Node,
    NodeDescription,
    NodeLiveness,
    NodeRole,
    NodeSpec,
    NodeState,
    Placement,
    PlacementPreference,
    Platform,
    ReplicatedMode,
    ResourceObject,
    ResourceRequirements,
    Resources,
    Service,
    ServiceMode,
    ServiceSpec,
    SpreadOver,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from swarmd.orchestrator.plan import planning
from swarmd.reconcile import Plan, Planner, Planning, Reconciler
from swarmd.scheduler import place
from swarmd.scheduler.place import placing
from swarmd.store import Change, Kind, Put, Snapshot
from swarmd.store.codec import LEADER
from swarmd.store.etcd import EtcdStore
from swarmd.store.tables import Tables

REPOSITORY = Path(__file__).parents[1]
PARTS = ("plan", "store", "statuses")
CPU, GIB = 1_000_000_000, 1 << 30
ZONES = 10
AT_ONCE = 500
"""Objects of one commit while a cluster is filled."""


@dataclass(frozen=True)
class Size:
    tasks: int
    nodes: int
    services: int

    @property
    def words(self) -> str:
        return f"{self.tasks:,} tasks of {self.services} services on {self.nodes:,} nodes"


def now_utc() -> datetime:
    return datetime.now(UTC)


def members_and_services(size: Size, *, asks: bool) -> Iterator[Put]:
    """
    :param asks: with reservations, a constraint and a preference, so that all of the scheduler's counting is needed.
    """
    now = now_utc()
    for number in range(size.nodes):
        node_id = f"node{number:021d}"
        description = NodeDescription(
            hostname=f"host{number}",
            platform=Platform("x86_64", "linux"),
            resources=Resources(64 * CPU, 256 * GIB),
        )
        labelled = NodeSpec(labels={"zone": f"z{number % ZONES}"})
        yield Put(Kind.NODE, node_id, Node(node_id, labelled, NodeRole.WORKER, now, now))
        yield Put(Kind.LIVENESS, node_id, NodeLiveness(NodeState.READY, address="10.0.0.1", description=description))
    for number in range(size.services):
        service_id = f"service{number:018d}"
        task = TaskSpec(
            container_spec=ContainerSpec(
                image="registry.example/team/web:1.2.3@sha256:" + "0123456789abcdef" * 4,
                args=["serve", "--listen=:8080"],
                env=[f"SETTING_{each}=some value" for each in range(8)],
            ),
        )
        if asks:
            reserved = ResourceRequirements(reservations=ResourceObject(nano_cpus=CPU // 10, memory_bytes=64 << 20))
            spread = [PlacementPreference(SpreadOver("node.labels.zone"))]
            task = replace(
                task,
                resources=reserved,
                placement=Placement(constraints=["node.platform.os==linux"], preferences=spread),
            )
        replicas = size.tasks // size.services + (number < size.tasks % size.services)
        spec = ServiceSpec(f"service{number}", {}, task, ServiceMode(ReplicatedMode(replicas)))
        yield Put(Kind.SERVICE, service_id, Service(service_id, spec, 1, now, now))


class Memory:
    """Snapshots of what has been put, without a store around them."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._tables = Tables()
        self._revision = 0
        self.put(changes)

    def put(self, changes: Iterable[Change]) -> Snapshot:
        self._revision += 1
        for change in changes:
            if isinstance(change, Put):
                known = self._tables.get(change.kind, change.id)
                created = known.created if known else self._revision
                self._tables.put(change.kind, change.id, change.value, created=created, version=self._revision)
        return self.snapshot

    @property
    def snapshot(self) -> Snapshot:
        return self._tables.snapshot(self._revision)


@contextmanager
def timed(row: Row, clock: Callable[[], float] = time.process_time) -> Iterator[None]:
    """CPU seconds, unless another clock is given: planning waits for nothing, and machines are shared."""
    gc.collect()  # what was left by others is not this part's
    started = clock()
    yield
    row.values.append(clock() - started)


def plan(size: Size, rounds: int) -> list[Row]:
    """Without any store: tasks are created, placed, run and looked at again."""
    rows: list[Row] = []
    for asks in (False, True):
        with_asked = ", with reservations, constraint, preference" if asks else ""
        created = Row(f"orchestrator creates {size.words}", "measure", digits=2)
        placed = Row(f"scheduler places them{with_asked}", "both together ≤ 3 s", digits=2)
        quiet = Row("orchestrator looks at them while all run", "measure", digits=3)
        told = Row("dispatcher looks for what 1 of them is to be told", "measure", digits=3)
        for _ in range(rounds):
            memory = Memory(members_and_services(size, asks=asks))
            with timed(created):
                planned = orchestrator.plan(memory.snapshot, now_utc())
            with_tasks = memory.put(planned.changes())
            with timed(placed):
                placed_plan = place(with_tasks, now_utc())
            assert len(placed_plan.decisions) == size.tasks  # noqa: S101
            memory.put(placed_plan.changes())
            memory.put(_running(memory.snapshot))
            with timed(quiet):
                assert not orchestrator.plan(memory.snapshot, now_utc()).decisions  # noqa: S101
            assigned = Assigned()
            assigned.advance(memory.snapshot)
            entry = next(iter(memory.snapshot.tasks.values()))
            wanted = replace(entry.value, desired_state=TaskState.SHUTDOWN)
            after = memory.put([Put(Kind.TASK, wanted.id, wanted)])
            with timed(told):
                assert len(assigned.advance(after)) == 1  # noqa: S101
        rows += [created, placed, quiet, told]
    return rows


def _running(snapshot: Snapshot) -> list[Change]:
    status = TaskStatus(now_utc(), TaskState.RUNNING, "started")
    return [Put(Kind.TASK, id_, replace(entry.value, status=status)) for id_, entry in snapshot.tasks.items()]


class Split:
    """A planner that tells how long it took."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self.seconds = 0.0

    def __call__(self, snapshot: Snapshot, now: datetime) -> Planning:
        started = time.perf_counter()
        planned: Plan = yield from self._planner(snapshot, now)
        self.seconds = time.perf_counter() - started
        return planned


async def store(size: Size, rounds: int, program: Path) -> list[Row]:
    """A leader's two loops, one cycle each, on a real store: what the plan alone took, and the writing."""
    rows = [
        Row(f"orchestrator plans {size.words}", "measure", digits=2),
        Row("its tasks are written to three members", "≤ 5 s", digits=2),
        Row("scheduler plans", "≤ 3 s", digits=2),
        Row("its assignments are written to three members", "≤ 5 s", digits=2),
        Row("longest time that the event loop stood still", "≤ 1 s", digits=2),
        Row("orchestrator's plan for nothing, from the same store", "measure", digits=3),
        Row("CPU of the leader's process for all four", "measure", digits=2),
    ]
    for _ in range(rounds):
        async with leading(program) as (leader, epoch), watchdog() as standstill:
            await fill(leader, members_and_services(size, asks=True))
            loops: list[tuple[Planner, Row, Row]] = [(planning, rows[0], rows[1]), (placing, rows[2], rows[3])]
            used = time.process_time()
            for planner, planned, written in loops:
                split = Split(planner)
                started = time.perf_counter()
                await Reconciler("bench", leader, epoch, split).cycle(await leader.fresh())
                planned.values.append(split.seconds)
                written.values.append(time.perf_counter() - started - split.seconds)
            rows[6].values.append(time.process_time() - used)
            assert all(entry.value.node_id for entry in leader.snapshot().tasks.values())  # noqa: S101
            assert len(leader.snapshot().tasks) == size.tasks  # noqa: S101
            rows[4].values.append(standstill.longest)
            again = Split(planning)
            await Reconciler("bench", leader, epoch, again).cycle(await leader.fresh())
            rows[5].values.append(again.seconds)
    return rows


async def statuses(size: Size, rounds: int, program: Path) -> list[Row]:
    """Each task of the cluster goes from accepted to running, as fast as the dispatcher's writes take it."""
    row = Row(f"dispatcher stores 5 states of each of {size.tasks:,} tasks", "measure", digits=2)
    for _ in range(rounds):
        async with leading(program) as (leader, epoch):
            await fill(leader, members_and_services(size, asks=False))
            for planner in (planning, placing):
                await Reconciler("bench", leader, epoch, planner).cycle(await leader.fresh())
            writes = Writes(leader, epoch)
            running = asyncio.create_task(writes.run())
            with timed(row, time.perf_counter):
                for state in (
                    TaskState.ACCEPTED,
                    TaskState.PREPARING,
                    TaskState.READY,
                    TaskState.STARTING,
                    TaskState.RUNNING,
                ):
                    for task_id, entry in leader.snapshot().tasks.items():
                        status = TaskStatus(now_utc() + timedelta(microseconds=state), state)
                        writes.report(entry.value.node_id, {task_id: status})
                    await writes.settled()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    return [row]


async def fill(leader: EtcdStore, changes: Iterable[Change]) -> None:
    waiting = list(changes)
    for start in range(0, len(waiting), AT_ONCE):
        await leader.commit(waiting[start : start + AT_ONCE])


@asynccontextmanager
async def leading(program: Path) -> AsyncIterator[tuple[EtcdStore, int]]:
    """A store on the first of three new members, and the epoch of a leader made by hand."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sb"))
        members = stack.enter_context(Members(program, Path(folder), 3))
        client = await stack.enter_async_context(EtcdClient(members.sockets[0]))
        made = EtcdStore(client)
        running = asyncio.create_task(made.run())
        try:
            await made.changed(0)
            epoch = (await client.put(LEADER, b"{}")).header.revision
            await made.fresh()
            yield made, epoch
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@dataclass
class Standstill:
    longest: float = 0.0


@asynccontextmanager
async def watchdog() -> AsyncIterator[Standstill]:
    """Sees how long nothing else ran; the supervisor takes 2 s for a hang."""
    seen = Standstill()

    async def look() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            seen.longest = max(seen.longest, time.perf_counter() - before - 0.01)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def etcd_program() -> Path:
    if given := os.environ.get("SWARMD_ETCD"):
        return Path(given)
    folder = REPOSITORY / ".cache" / "etcd"
    subprocess.run([REPOSITORY / "scripts" / "etcd-binary", folder], check=True, timeout=300)
    return folder / "etcd"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    asked = parser.parse_args()
    size = Size(asked.tasks, asked.nodes, asked.services)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    gc.freeze()  # as the daemon does; with the defaults the collector takes half of the time
    gc.set_threshold(50_000, 20, 1000)
    parts: dict[str, Callable[[], list[Row]]] = {
        "plan": lambda: plan(size, asked.rounds),
        "store": lambda: asyncio.run(store(size, asked.rounds, etcd_program())),
        "statuses": lambda: asyncio.run(
            statuses(replace_tasks(size, min(size.tasks, 20_000)), asked.rounds, etcd_program())
        ),
    }
    chosen = asked.only.split(",")
    if unknown := set(chosen) - parts.keys():
        sys.exit(f"no such part: {', '.join(sorted(unknown))}")
    for name in chosen:
        show(parts[name]())


def replace_tasks(size: Size, tasks: int) -> Size:
    return Size(tasks, size.nodes, size.services)


if __name__ == "__main__":
    main()
