"""A leader's loop: plan from a snapshot, commit what was planned, wait for the next change or the next deadline.

Deciding is pure and belongs to the planners (``swarmd.orchestrator``, ``swarmd.scheduler``). This module owns what is
not: the store, the clock, lost races, outages, and that the event loop stays free while 100,000 tasks are planned.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import structlog

from swarmd.errors import Deposed, Lost, NoLeader
from swarmd.store.contract import Change, Put, Snapshot, Store, Unchanged

LARGEST_BATCH = 200
"""Changes, and guards, of one transaction, as swarmkit's store has it."""
LARGEST_BATCH_BYTES = 1 << 20
"""etcd refuses requests of 1.5 MiB."""
SLICE = 0.05
"""Seconds that planning may hold the event loop; the supervisor takes 2 s of silence for a hang."""
FIRST_BACK_OFF, LONGEST_BACK_OFF = 0.1, 2.0
"""Seconds."""
AFTER_LOSS = 0.01
"""Seconds; a lost race is no outage, but it may be lost again."""
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
        made: list[Decision] = []
        lost: Lost | None = None
        waiting = list(reversed(plan.decisions))
        try:
            while waiting:
                batch = _next_batch(waiting, self._batch)
                try:
                    await self._commit(batch)
                except Lost as error:
                    # Where agents report all the time, a big batch loses each time: smaller ones get through.
                    self._batch, lost = max(1, len(batch) // 2), error
                else:
                    self._batch = min(LARGEST_BATCH, 2 * self._batch)
                    made += batch
                await asyncio.sleep(0)  # a store may answer without ever having waited
        finally:
            if made:
                self._log.info(_sentence(made), revision=snapshot.revision)
        if lost is not None:
            raise lost
        return _sentence(made), plan.wake_at

    async def _commit(self, batch: Sequence[Decision]) -> None:
        await self._store.commit(
            [change for decision in batch for change in decision.changes],
            guards=list(dict.fromkeys(guard for decision in batch for guard in decision.guards)),
            epoch=self._epoch,
        )

    async def _planned(self, snapshot: Snapshot) -> Plan:
        planning = self._planner(snapshot, self._clock())
        resumed = time.monotonic()
        while True:
            try:
                next(planning)
            except StopIteration as end:
                plan: Plan = end.value
                return plan
            if time.monotonic() - resumed > SLICE:
                await asyncio.sleep(0)
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


def _next_batch(waiting: list[Decision], most: int) -> list[Decision]:
    """Take ``most`` decisions from the end of ``waiting``, or as many as fit into one transaction; at least one."""
    batch: list[Decision] = []
    guards: set[Unchanged] = set()
    changes = size = 0
    while waiting:
        decision = waiting[-1]
        changes += len(decision.changes)
        size += sum(_size(change) for change in decision.changes)
        guards.update(decision.guards)
        if batch and (len(batch) == most or max(changes, len(guards)) > LARGEST_BATCH or size > LARGEST_BATCH_BYTES):
            break
        batch.append(waiting.pop())
    return batch


def _size(change: Change) -> int:
    return len(msgspec.json.encode(change.value)) if isinstance(change, Put) else 0


def _sentence(made: Iterable[Decision], named: int = 5) -> str:
    """``web: scaled up (3); db: task ended (1)``; what happened most often first, the rest counted."""
    reasons = Counter(decision.why for decision in made)
    parts = [f"{why} ({count})" for why, count in reasons.most_common(named)]
    if len(reasons) > named:
        parts.append(f"and {len(reasons) - named} more")
    return "; ".join(parts)
