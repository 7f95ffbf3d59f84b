"""One user's wish for logs: which tasks they are of, which nodes are to bring them, and when it is fulfilled."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from swarmd.errors import IncompleteLogs
from swarmd.membership import LogPiece, LogSelector, LogStream
from swarmd.model import NodeState, Task, TaskState
from swarmd.node.log_delivery import Delivery
from swarmd.node.log_telling import have_come
from swarmd.store import Snapshot, Store
from swarmd.task_group import TaskGroup
from swarmd.wire import LogLines, LogOptions

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds until a log that is followed and broke off is asked for again; doubled each time that it brought nothing."""
PACE = 0.3
"""Seconds between two looks at the store, each of which is a walk over all tasks while a service is followed."""
MOST_TASKS = 5_000
"""In one delivery; the message that asks for it has 140 KB then."""

Tell = Callable[[Sequence[Delivery]], Awaitable[None]]


@dataclass
class _Log:
    """How far a task's log has been brought."""

    service_id: str
    is_new: bool
    """The task came while its service was followed: all its lines are wanted, not only the last ones."""
    last: str = ""
    """Moment of the newest line."""
    known_until: str = ""
    """What is not newer was brought before the log broke off."""
    flows: bool = False
    not_before: float = 0.0
    """The loop's time."""
    pause: float = FIRST_PAUSE
    reason: str = ""
    """Why it broke off."""

    def break_off(self, reason: str) -> None:
        self.known_until, self.reason = self.last, reason
        self.not_before = asyncio.get_running_loop().time() + self.pause
        self.pause = min(2 * self.pause, LONGEST_PAUSE)


class Subscription:
    """Implements :class:`swarmd.node.log_delivery.Taker`."""

    def __init__(
        self, selector: LogSelector, options: LogOptions, store: Store, awaited: dict[str, Delivery], tell: Tell
    ) -> None:
        """
        :param awaited: this manager's deliveries, by id; a subscription adds and removes its own.
        :param tell: has the nodes told; ends the deliveries of those that cannot be.
        """
        self._selector, self._options = selector, options
        self._store, self._awaited, self._tell = store, awaited, tell
        self._logs: dict[str, _Log] = {}
        """Those that are not over."""
        self._known: set[str] = set()
        """Ids of tasks whose logs are or were brought."""
        self._walked: object = None
        self._reasons: dict[str, None] = {}
        self._given_up = False
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(1)
        self._coming: asyncio.Queue[list[LogPiece] | None] = asyncio.Queue()

    async def pieces(self) -> AsyncGenerator[list[LogPiece], None]:
        """
        :raises IncompleteLogs: at the end.
        """
        seeing = asyncio.create_task(self._see_through())
        seeing.add_done_callback(lambda _: self._coming.put_nowait(None))
        try:
            while (some := await self._coming.get()) is not None:
                self._room.release()
                yield some
            await seeing
        finally:
            seeing.cancel()
            await asyncio.wait([seeing])
        if self._reasons:
            raise IncompleteLogs(self._reasons)

    def give_up(self, reason: str) -> None:
        self._reasons[reason] = None
        self._given_up = True
        self._wake.set()

    # What nodes bring

    async def take(self, node_id: str, message: LogLines) -> None:
        log = self._logs[message.task]
        lines = message.lines
        if log.known_until:
            lines = [line for line in lines if line.moment > log.known_until]
        if not lines:
            return
        await self._room.acquire()
        log.last = max(log.last, *(line.moment for line in lines))
        log.pause = FIRST_PAUSE
        self._coming.put_nowait(
            [
                LogPiece(
                    log.service_id,
                    message.task,
                    node_id,
                    LogStream.STDERR if line.stream == LogStream.STDERR else LogStream.STDOUT,
                    line.moment,
                    line.text,
                    line.details,
                )
                for line in lines
            ]
        )

    def ended(self, task_id: str, reason: str) -> None:
        log = self._logs[task_id]
        log.flows = False
        entry = self._store.snapshot().tasks.get(task_id)
        if self._options.follow and entry is not None and not entry.value.status.state.is_final:
            log.break_off(reason)  # also without a reason: its end has not been reported yet, or it is started again
        else:
            self._end(task_id, reason)
        if not self._logs:  # at each end of many thousands, a look at all the others would be too many
            self._wake.set()

    def _end(self, task_id: str, reason: str = "") -> None:
        del self._logs[task_id]
        if reason:
            self._reasons[reason] = None

    # Whose logs are to be brought

    async def _see_through(self) -> None:
        snapshot = self._store.snapshot()
        self._select(snapshot)
        async with TaskGroup() as group:
            while True:
                if due := self._due(snapshot):
                    group.create_task(self._bring(due))
                if self._is_over(snapshot):
                    break
                self._leave_lost_nodes(snapshot)
                snapshot = await self._news(snapshot)
                if self._options.follow:
                    self._select(snapshot)
            for delivery in self._deliveries():
                delivery.end()

    def _select(self, snapshot: Snapshot) -> None:
        if snapshot.tasks is self._walked:
            return
        is_new, self._walked = self._walked is not None, snapshot.tasks
        self._known &= snapshot.tasks.keys()
        if task_id := self._selector.task_id:
            entries = [snapshot.tasks[task_id]] if task_id in snapshot.tasks else []
        else:
            service_id = self._selector.service_id
            entries = [
                entry
                for entry in snapshot.tasks.values()
                if entry.value.service_id == service_id and entry.value.status.state >= TaskState.RUNNING
            ]
        for entry in entries:
            if (task_id := entry.value.id) not in self._known:
                self._known.add(task_id)
                self._logs[task_id] = _Log(entry.value.service_id, is_new)

    def _due(self, snapshot: Snapshot) -> list[Task]:
        """Tasks whose logs are to be asked for now. Ends those whose logs nobody can bring."""
        now = asyncio.get_running_loop().time()
        due = []
        for task_id, log in list(self._logs.items()):
            if log.flows:
                continue
            entry = snapshot.tasks.get(task_id)
            if entry is None:
                self._end(task_id, log.reason)
                continue
            task = entry.value
            has_ended = task.status.state.is_final
            if not task.node_id:
                if has_ended:
                    self._end(task_id)
                elif not self._options.follow:
                    self._end(task_id, f"task {task_id} has not been scheduled")
            elif self._options.follow and task.status.state < TaskState.RUNNING:
                continue
            elif _is_lost(task.node_id, snapshot):
                if has_ended or not self._goes_on(snapshot):
                    self._end(task_id, f"node {task.node_id} is not available")
            elif now >= log.not_before:
                log.flows = True
                due.append(task)
        return due

    def _goes_on(self, snapshot: Snapshot) -> bool:
        """Whether more may come from elsewhere, so that lost nodes are waited for meanwhile."""
        return self._options.follow and self._selector.service_id in snapshot.services

    def _is_over(self, snapshot: Snapshot) -> bool:
        return self._given_up or not (self._logs or self._goes_on(snapshot))

    def _leave_lost_nodes(self, snapshot: Snapshot) -> None:
        """A host that was switched off closes no connection."""
        for delivery in self._deliveries():
            if _is_lost(delivery.node_id, snapshot):
                delivery.break_off()

    async def _news(self, snapshot: Snapshot) -> Snapshot:
        changed = asyncio.create_task(self._store.changed(snapshot.revision))
        woken = asyncio.create_task(self._wake.wait())
        try:
            timeout = FIRST_PAUSE if self._options.follow else None
            await asyncio.wait((changed, woken), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if changed.done():
                await asyncio.wait((woken,), timeout=PACE)
        finally:
            changed.cancel()
            woken.cancel()
            await asyncio.wait((changed, woken))
        self._wake.clear()
        return self._store.snapshot()

    # Having nodes bring them

    def _deliveries(self) -> list[Delivery]:
        return [delivery for delivery in self._awaited.values() if delivery.taker is self and not delivery.is_over]

    async def _bring(self, tasks: Iterable[Task]) -> None:
        deliveries = list(self._planned(tasks))
        self._awaited |= {delivery.id: delivery for delivery in deliveries}
        try:
            await self._tell(deliveries)
            await have_come(deliveries)
            for delivery in deliveries:
                await delivery.over()
        finally:
            for delivery in deliveries:
                del self._awaited[delivery.id]
                delivery.end()

    def _planned(self, tasks: Iterable[Task]) -> Iterator[Delivery]:
        """A delivery for each node, and for each way in which its lines are wanted."""
        groups: defaultdict[tuple[str, bool, bool], list[str]] = defaultdict(list)
        for task in tasks:
            log = self._logs[task.id]
            groups[task.node_id, bool(log.last), log.is_new].append(task.id)
        for (node_id, is_resumed, is_new), ids in groups.items():
            options = self._options
            if is_resumed:
                # From the one that is farthest behind; what is known of the others is dropped as it comes.
                since = seconds(min(self._logs[task_id].last for task_id in ids))
                options = msgspec.structs.replace(options, since=since, tail=-1)
            elif is_new:
                options = msgspec.structs.replace(options, tail=-1)
            for start in range(0, len(ids), MOST_TASKS):
                yield Delivery(node_id, ids[start : start + MOST_TASKS], options, self)


def seconds(moment: str) -> str:
    """A line's moment as the engine takes it: seconds since 1970, and nanoseconds."""
    whole = datetime.fromisoformat(moment[:19] + moment[29:])
    return f"{int(whole.timestamp())}.{moment[20:29]}"


def _is_lost(node_id: str, snapshot: Snapshot) -> bool:
    seen = snapshot.liveness.get(node_id)
    return node_id not in snapshot.nodes or (seen is not None and seen.value.state is NodeState.DOWN)
