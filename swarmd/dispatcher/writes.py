"""What sessions have to say to the store, gathered into few transactions.

Statuses of tasks only advance, and only those of the node's own tasks count. Each write is guarded by the version of
what it changes, since orchestrators write the same tasks: a lost race is planned anew from what came first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import structlog

from swarmd.errors import Deposed, Lost, NoLeader
from swarmd.model import Node, NodeDescription, NodeLiveness, NodeState, Task, TaskState, TaskStatus
from swarmd.portions import portions
from swarmd.store import Change, Entry, Kind, Put, Snapshot, Store, Unchanged
from swarmd.task_group import TaskGroup

PAUSE = 0.05
"""Seconds between two batches; the first after a quiet time is written at once. swarmkit waits up to 0.1 s."""
MOST_IN_A_TRANSACTION = 200
LARGEST_TRANSACTION = 1 << 20
"""Bytes. A status is written with its task, whose spec may have 1 MiB; etcd takes 8 MiB in one request."""
IN_FLIGHT = 4
"""Transactions under way at once."""
FIRST_BACK_OFF, LONGEST_BACK_OFF = 0.1, 2.0

log = structlog.get_logger()


@dataclass(frozen=True)
class Sighting:
    """What is new about a node; None is: as it was. A message comes with a state."""

    state: NodeState | None = None
    message: str = ""
    address: str | None = None
    description: NodeDescription | None = None

    def over(self, earlier: Sighting | None) -> Sighting:
        if earlier is None:
            return self
        latest = earlier if self.state is None else self
        return Sighting(
            latest.state,
            latest.message,
            earlier.address if self.address is None else self.address,
            earlier.description if self.description is None else self.description,
        )


@dataclass(frozen=True)
class Write:
    change: Change
    guard: Unchanged


@dataclass
class Batch:
    sightings: dict[str, Sighting] = field(default_factory=dict)
    """By node id."""
    statuses: dict[str, tuple[str, TaskStatus]] = field(default_factory=dict)
    """By task id: the node that says it, and what."""
    done: list[Callable[[], None]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.sightings or self.statuses or self.done)


def seen(node: Entry[Node] | None, known: NodeLiveness | None, sighting: Sighting, now: datetime) -> Write | None:
    """The write that a sighting is worth. None: the node is gone, or it is known already."""
    if node is None:
        return None
    was = known or NodeLiveness(NodeState.UNKNOWN)
    # A node that is Down already keeps the reason: it may have said that it leaves.
    keeps = sighting.state is None or sighting.state is was.state is NodeState.DOWN
    state = was.state if sighting.state is None else sighting.state
    liveness = NodeLiveness(
        state=state,
        message=was.message if keeps else sighting.message,
        address=was.address if sighting.address is None else sighting.address,
        description=was.description if sighting.description is None else sighting.description,
        since=was.since if known is not None and known.state is state else now,
    )
    if liveness == known:
        return None
    node_id = node.value.id
    # Guarded by the node, so that one that is removed meanwhile leaves no trace.
    return Write(Put(Kind.LIVENESS, node_id, liveness), Unchanged(Kind.NODE, node_id, node.version))


def advanced(entry: Entry[Task] | None, node_id: str, status: TaskStatus, now: datetime) -> Write | None:
    """The write that a reported status is worth. None: it is not the node's task, or says nothing new.

    A task that was not assigned yet, or was given up as orphaned, is not an agent's to speak of.
    """
    if entry is None or entry.value.node_id != node_id:
        return None
    task = entry.value
    known = task.status.state
    if not TaskState.ASSIGNED <= known <= status.state or status.state in (TaskState.REMOVE, TaskState.ORPHANED):
        return None
    if task.status == status:
        return None
    ran_at = task.ran_at or (now if status.state is TaskState.RUNNING else None)
    changed = msgspec.structs.replace(task, status=status, ran_at=ran_at, updated_at=now)
    return Write(Put(Kind.TASK, task.id, changed), Unchanged(Kind.TASK, task.id, entry.version))


def plan(snapshot: Snapshot, batch: Batch, now: datetime) -> list[Write]:
    writes = []
    for node_id, sighting in batch.sightings.items():
        known = snapshot.liveness.get(node_id)
        writes.append(seen(snapshot.nodes.get(node_id), known.value if known else None, sighting, now))
    for task_id, (node_id, status) in batch.statuses.items():
        writes.append(advanced(snapshot.tasks.get(task_id), node_id, status, now))
    return [write for write in writes if write is not None]


class Writes:
    def __init__(
        self,
        store: Store,
        epoch: int,
        *,
        pause: float = PAUSE,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._epoch, self._pause, self._now = store, epoch, pause, now
        self._gathered = Batch()
        self._any = asyncio.Event()

    def see(self, node_id: str, sighting: Sighting) -> None:
        self._gathered.sightings[node_id] = sighting.over(self._gathered.sightings.get(node_id))
        self._any.set()

    def report(self, node_id: str, statuses: Mapping[str, TaskStatus]) -> None:
        """Of tasks that are not the node's nothing is kept, so that no agent can fill the memory."""
        tasks = self._store.snapshot().tasks
        gathered = self._gathered.statuses
        for task_id, status in statuses.items():
            entry = tasks.get(task_id)
            if entry is None or entry.value.node_id != node_id:
                continue
            earlier = gathered.get(task_id)
            if earlier is None or earlier[1].state <= status.state:
                gathered[task_id] = (node_id, status)
        self._any.set()

    def then(self, done: Callable[[], None]) -> None:
        """Call this once all that was said before is stored, or was found to be nothing new."""
        self._gathered.done.append(done)
        self._any.set()

    async def settled(self) -> None:
        """Wait until all that was said before is stored."""
        reached = asyncio.Event()
        self.then(reached.set)
        await reached.wait()

    async def run(self) -> None:
        """
        :raises swarmd.errors.Deposed: another leader has come.
        """
        while True:
            await self._any.wait()
            batch = self._take()
            await self._store_all(batch)
            for done in batch.done:
                done()
            await asyncio.sleep(self._pause)

    def _take(self) -> Batch:
        batch, self._gathered = self._gathered, Batch()
        self._any.clear()
        return batch

    async def _store_all(self, batch: Batch) -> None:
        snapshot = self._store.snapshot()
        back_off = FIRST_BACK_OFF
        while writes := plan(snapshot, batch, self._now()):
            trouble = await self._commit_all(transactions(writes))
            if trouble is None:
                return
            if isinstance(trouble, Deposed):
                raise trouble
            if isinstance(trouble, NoLeader):
                log.warning("the quorum did not answer: statuses and states of nodes wait for it", after=back_off)
                await asyncio.sleep(back_off)
                back_off = min(2 * back_off, LONGEST_BACK_OFF)
            else:
                log.debug("another write came first: planning again")
            snapshot = await fresh(self._store)

    async def _commit_all(self, waiting: Iterator[list[Write]]) -> Lost | NoLeader | Deposed | None:
        """Some transactions at once; after a failure no more are begun.

        :returns: the first failure.
        """
        troubles: list[Lost | NoLeader | Deposed] = []

        async def work() -> None:
            for part in waiting:
                guards = list(dict.fromkeys(write.guard for write in part))
                try:
                    await self._store.commit([write.change for write in part], guards=guards, epoch=self._epoch)
                except (Lost, NoLeader, Deposed) as error:
                    troubles.append(error)
                if troubles:
                    return

        async with TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(work())
        return troubles[0] if troubles else None


def transactions(writes: Iterable[Write]) -> Iterator[list[Write]]:
    """Writes, cut into what one transaction may hold; at least one in each."""

    def bytes_of(write: Write) -> int:
        return len(write.change.encoded) if isinstance(write.change, Put) else 0

    return portions(writes, bytes_of, largest=LARGEST_TRANSACTION, most=MOST_IN_A_TRANSACTION)


async def fresh(store: Store) -> Snapshot:
    """As the store's; without a quorum that is as long as it takes."""
    back_off = FIRST_BACK_OFF
    while True:
        try:
            return await store.fresh()
        except NoLeader:
            await asyncio.sleep(back_off)
            back_off = min(2 * back_off, LONGEST_BACK_OFF)
