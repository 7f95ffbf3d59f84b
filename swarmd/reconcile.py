"""A leader's loop: plan from a snapshot, commit what was planned, wait for the next change or the next deadline.

Deciding is pure and belongs to the planners (``swarmd.orchestrator``, ``swarmd.scheduler``). This module owns what is
not: the store, the clock, lost races, outages, and that the event loop stays free while 100,000 tasks are planned.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from swarmd.errors import Deposed, Lost, NoLeader
from swarmd.store.contract import Change, Put, Snapshot, Store, Unchanged
from swarmd.task_group import TaskGroup

LARGEST_BATCH = 500
"""Changes of one transaction; swarmkit's store has 200."""
MOST_GUARDS = 3 * LARGEST_BATCH
"""Of one transaction: an assignment has three, its task's and its node's two."""
IN_FLIGHT = 4
"""Transactions of one plan that are under way at once: written by 500 and four, 100,000 tasks take etcd 1.7 s; by 128,
one after the other, 4.9 s."""
LARGEST_BATCH_BYTES = 1 << 20
"""But for a single decision that has more; etcd takes 8 MiB in one request."""
SLICE = 0.05
"""Seconds that planning may hold the event loop; the supervisor takes 2 s of silence for a hang."""
FIRST_BACK_OFF, LONGEST_BACK_OFF = 0.1, 2.0
"""Seconds."""
AFTER_LOSS = 0.01
"""Seconds; a lost race is no outage, but it may be lost again."""
LONGEST_REST = 1.0
"""Seconds. After planning a loop rests for as long as planning held the event loop: where something changes all the
time, as while 20,000 tasks report that they run, it takes half of it at most."""
LONGEST_SLEEP = 30.0
"""Seconds until a deadline is looked at again: the clock that times a sleep stands still while a machine sleeps."""


@dataclass(frozen=True)
class Decision:
    """Changes that hold only together, what they were decided from, and why in a few words (``web: scaled up``)."""

    why: str
    changes: Sequence[Change]
    guards: Sequence[Unchanged]


@dataclass(frozen=True)
class Plan:
    decisions: Sequence[Decision]
    """Independent of one another: each may be made or lost alone."""
    wake_at: datetime | None = None
    """When to plan again even if nothing changes."""

    def changes(self) -> Iterator[Change]:
        for decision in self.decisions:
            yield from decision.changes


Planning = Generator[None, None, Plan]
"""A plan in the making; it pauses where the event loop may run something else."""
Pause = Iterator[None]
"""A part of planning that has no result of its own."""
Planner = Callable[[Snapshot, datetime], Planning]


@dataclass(frozen=True)
class Debounce:
    """Wait until nothing has changed for ``quiet`` seconds, but ``longest`` in all."""

    quiet: float
    longest: float


def complete(planning: Planning) -> Plan:
    """The whole plan at once, without pausing."""
    while True:
        try:
            next(planning)
        except StopIteration as end:
            plan: Plan = end.value
            return plan


def now_utc() -> datetime:
    return datetime.now(UTC)


class Reconciler:
    """One planner's loop over one store, for one term of leadership."""

    def __init__(
        self,
        name: str,
        store: Store,
        epoch: int,
        planner: Planner,
        *,
        debounce: Debounce | None = None,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        """
        :param epoch: the leader's; each commit names it.
        :param debounce: None is to plan at once.
        """
        self._store, self._epoch, self._planner = store, epoch, planner
        self._debounce, self._clock = debounce, clock
        self._log = structlog.get_logger().bind(loop=name)
        self._batch = LARGEST_BATCH
        self._rested_at = 0.0

    async def run(self) -> None:
        """
        :raises swarmd.errors.Deposed: another leader has come.
        """
        back_off = FIRST_BACK_OFF
        snapshot: Snapshot | None = None
        while True:
            try:
                if snapshot is None:
                    snapshot = await self._store.fresh()
                _, wake_at = await self.cycle(snapshot)
                snapshot = await self._next(snapshot, wake_at)
                back_off = FIRST_BACK_OFF
                continue
            except Deposed:
                raise
            except Lost:
                self._log.debug("another write came first: planning again")
                snapshot = None
                await asyncio.sleep(AFTER_LOSS)
                continue
            except NoLeader:
                self._log.warning("the quorum did not answer: planning again when it does", after=back_off)
            except Exception:
                self._log.exception("planning failed: trying again", after=back_off)
            snapshot = None
            await asyncio.sleep(back_off)
            back_off = min(2 * back_off, LONGEST_BACK_OFF)

    async def cycle(self, snapshot: Snapshot) -> tuple[str, datetime | None]:
        """Plan once and commit.

        :returns: one sentence saying what was done and why; when to plan again if nothing changes.
        :raises swarmd.errors.Lost: part of the plan was made, the rest is to be planned again.
        :raises swarmd.errors.Deposed: another leader has come.
        :raises swarmd.errors.NoLeader: whether the last batch was written is unknown.
        """
        plan = await self._planned(snapshot)
        if not plan.decisions:
            return "nothing to do", plan.wake_at
        making = _Making(list(reversed(plan.decisions)))
        wake_at = plan.wake_at
        del plan  # what is written is let go; 100,000 tasks are 100 MB, and as much once they are encoded
        try:
            workers = min(IN_FLIGHT, -(-len(making.waiting) // self._batch))
            if workers == 1:
                await self._make(making)
            else:
                async with TaskGroup() as group:
                    for _ in range(workers):
                        group.create_task(self._make(making))
        finally:
            if making.made:
                self._log.info(_sentence(making.made), revision=snapshot.revision)
        if making.trouble is not None:
            raise making.trouble
        return _sentence(making.made), wake_at

    async def _make(self, making: _Making) -> None:
        """One batch after the other, beside others of the same plan, until there are none or the quorum is gone."""
        while making.waiting and not making.is_hopeless:
            batch = _next_batch(making.waiting, self._batch)
            try:
                await self._commit(batch)
            except Lost as error:
                # Where agents report all the time, a big batch loses each time: smaller ones get through.
                self._batch = max(1, len(batch) // 2)
                making.note(error)
            except (NoLeader, Deposed) as error:
                making.note(error)
            else:
                self._batch = min(LARGEST_BATCH, 2 * self._batch)
                making.made.update(decision.why for decision in batch)
            await asyncio.sleep(0)  # a store may answer without ever having waited

    async def _commit(self, batch: Sequence[Decision]) -> None:
        await self._store.commit(
            [change for decision in batch for change in decision.changes],
            guards=list(dict.fromkeys(guard for decision in batch for guard in decision.guards)),
            epoch=self._epoch,
        )

    async def _planned(self, snapshot: Snapshot) -> Plan:
        planning = self._planner(snapshot, self._clock())
        held, resumed = 0.0, time.monotonic()
        while True:
            try:
                next(planning)
            except StopIteration as end:
                now = time.monotonic()
                self._rested_at = now + min(held + now - resumed, LONGEST_REST)
                plan: Plan = end.value
                return plan
            if (passed := time.monotonic() - resumed) > SLICE:
                await asyncio.sleep(0)
                held += passed
                resumed = time.monotonic()

    async def _next(self, planned: Snapshot, wake_at: datetime | None) -> Snapshot:
        """The snapshot to plan from next, once there is a reason to plan."""
        patience = None
        if wake_at is not None:
            patience = min(max(0.0, (wake_at - self._clock()).total_seconds()), LONGEST_SLEEP)
        snapshot = planned
        try:
            async with asyncio.timeout(patience):
                while _has_same_tables(snapshot, planned):  # a revision may rise by what no table shows
                    snapshot = await self._store.changed(snapshot.revision)
        except TimeoutError:
            return self._store.snapshot()
        if self._debounce is not None:
            await self._settle(snapshot, self._debounce)
        await asyncio.sleep(max(0.0, self._rested_at - time.monotonic()))
        return self._store.snapshot()

    async def _settle(self, snapshot: Snapshot, debounce: Debounce) -> None:
        loop = asyncio.get_running_loop()
        longest = loop.time() + debounce.longest
        while loop.time() < longest:
            try:
                async with asyncio.timeout_at(min(loop.time() + debounce.quiet, longest)):
                    snapshot = await self._store.changed(snapshot.revision)
            except TimeoutError:
                return


def _has_same_tables(one: Snapshot, other: Snapshot) -> bool:
    return (
        one.clusters is other.clusters
        and one.nodes is other.nodes
        and one.liveness is other.liveness
        and one.services is other.services
        and one.updates is other.updates
        and one.tasks is other.tasks
    )


@dataclass
class _Making:
    """A plan while it is written."""

    waiting: list[Decision]
    """The next one last."""
    made: Counter[str] = field(default_factory=Counter)
    """Reasons of what was written."""
    trouble: Lost | NoLeader | Deposed | None = None
    """The worst that has happened."""

    @property
    def is_hopeless(self) -> bool:
        return self.trouble is not None and not isinstance(self.trouble, Lost)

    def note(self, trouble: Lost | NoLeader | Deposed) -> None:
        if self.trouble is None or isinstance(self.trouble, Lost) or isinstance(trouble, Deposed):
            self.trouble = trouble


def _next_batch(waiting: list[Decision], most: int) -> list[Decision]:
    """Take ``most`` decisions from the end of ``waiting``, or as many as fit into one transaction; at least one."""
    batch: list[Decision] = []
    guards: set[Unchanged] = set()
    changes = size = 0
    while waiting:
        decision = waiting[-1]
        changes += len(decision.changes)
        size += sum(len(change.encoded) for change in decision.changes if isinstance(change, Put))
        guards.update(decision.guards)
        is_full = changes > LARGEST_BATCH or len(guards) > MOST_GUARDS or size > LARGEST_BATCH_BYTES
        if batch and (len(batch) == most or is_full):
            break
        batch.append(waiting.pop())
    return batch


def _sentence(reasons: Counter[str], named: int = 5) -> str:
    """``web: scaled up (3); db: task ended (1)``; what happened most often first, the rest counted."""
    parts = [f"{why} ({count})" for why, count in reasons.most_common(named)]
    if len(reasons) > named:
        parts.append(f"and {len(reasons) - named} more")
    return "; ".join(parts)
