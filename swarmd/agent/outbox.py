"""Statuses on their way to the managers: of each task the newest, until a manager has stored it."""

from __future__ import annotations

import asyncio
from itertools import islice

from swarmd.model import TaskStatus


class Outbox:
    """Outlives sessions: what one could not deliver, the next does."""

    def __init__(self) -> None:
        self._statuses: dict[str, TaskStatus] = {}
        self._filled = asyncio.Event()

    def put(self, task_id: str, status: TaskStatus) -> None:
        self._statuses[task_id] = status
        self._filled.set()

    def drop(self, task_id: str) -> None:
        """The managers have no such task any more."""
        self._statuses.pop(task_id, None)

    async def some(self, most: int) -> dict[str, TaskStatus]:
        """Wait until there are any; they stay until :meth:`delivered`."""
        while not self._statuses:
            self._filled.clear()
            await self._filled.wait()
        return dict(islice(self._statuses.items(), most))

    def delivered(self, statuses: dict[str, TaskStatus]) -> None:
        """What has been replaced by a newer status meanwhile stays."""
        for task_id, status in statuses.items():
            if self._statuses.get(task_id) is status:
                del self._statuses[task_id]
