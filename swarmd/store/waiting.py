"""Waiting for a revision."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class Revisions:
    """A revision that rises, and those who wait for it; only who has waited long enough is woken."""

    def __init__(self) -> None:
        self.current = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def rise(self, revision: int) -> None:
        self.current = revision
        while self._waiting and self._waiting[0][0] <= revision:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)

    async def reach(self, revision: int) -> None:
        if self.current < revision:
            future = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (revision, next(self._numbers), future))
            await future
