"""Follows the store and keeps the last swarm events, as the engine keeps its own: for listeners, and for ``since``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from swarmd.api.changes import Event, events_between
from swarmd.errors import SwarmError
from swarmd.membership import Membership
from swarmd.store import Store
from swarmd.task_group import TaskGroup

log = structlog.get_logger()

KEPT = 256
"""As many as the engine keeps."""
LISTENER_BEHIND = 1024
"""Events that a listener may be behind; the oldest ones are lost to it then, as in the engine's buffer."""
LOOK_EVERY = 1.0
"""Seconds between looks at whether this node is a manager, and at the managers' reachability."""


@dataclass
class EventLog:
    membership: Membership
    look_every: float = LOOK_EVERY
    kept: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT))
    _listeners: set[asyncio.Queue[Event]] = field(default_factory=set)

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        async with TaskGroup() as group:
            task = group.create_task(self._follow_for_ever(), name="swarm-events")
            yield
            task.cancel()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[tuple[list[Event], asyncio.Queue[Event]]]:
        """The events that are kept, and those from now on: none twice, none left out."""
        queue: asyncio.Queue[Event] = asyncio.Queue(LISTENER_BEHIND)
        self._listeners.add(queue)
        try:
            yield list(self.kept), queue
        finally:
            self._listeners.discard(queue)

    async def _follow_for_ever(self) -> None:
        while True:
            try:
                await self._follow(self.membership.store())
            except SwarmError:
                pass  # no manager, or not at present
            except Exception:
                log.exception("swarm events are interrupted")
            await asyncio.sleep(self.look_every)

    async def _follow(self, store: Store) -> None:
        """What the mirror holds at first is not told: it came to be before this node looked."""
        seen, managers = store.snapshot(), await self.membership.reachability()
        while self.membership.store() is store:
            fresh = seen
            with suppress(TimeoutError):
                async with asyncio.timeout(self.look_every):
                    fresh = await store.changed(seen.revision)
            reachability = await self.membership.reachability()
            if seen.revision:
                for event in events_between(seen, fresh, managers, reachability, datetime.now(UTC)):
                    self._tell(event)
            seen, managers = fresh, reachability

    def _tell(self, event: Event) -> None:
        self.kept.append(event)
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)
