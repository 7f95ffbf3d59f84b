"""Keeps this node in a session with whoever leads, for ever."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn

from swarmd.agent.remotes import BAD, Remotes
from swarmd.agent.session import ClusterChanged, Credentials, Session, SessionEnded
from swarmd.agent.worker import Worker
from swarmd.model import NodeDescription
from swarmd.wire import LogsWanted, Manager

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 8.0
"""Seconds. As swarmkit's: the limit grows as 0.1 and twice itself, the pause is anything below it."""
SETTLED = 5.0
"""Seconds; a session that lasted so long is followed by the next at once."""
HOPS = 3
"""Times in a row that a manager may name another leader, without a pause."""


class Sessions:
    def __init__(
        self,
        remotes: Remotes,
        *,
        credentials: Credentials,
        worker: Worker,
        describe: Callable[[], Awaitable[NodeDescription]],
        cluster_changed: ClusterChanged,
        removed: Callable[[str], None],
        lost: Callable[[], None] = lambda: None,
        logs_wanted: Callable[[LogsWanted], None] = lambda _: None,
    ) -> None:
        """
        :param lost: told at each end of a session, and when none came to be.
        """
        self._remotes = remotes
        self._credentials = credentials
        self._worker = worker
        self._describe = describe
        self._cluster_changed = cluster_changed
        self._removed = removed
        self._lost = lost
        self._logs_wanted = logs_wanted
        self._told: Manager | None = None
        self._telling = asyncio.Event()

    def leader_is(self, manager: Manager) -> None:
        """News by another way than a session: a manager's own store knows at once."""
        self._told = manager
        self._telling.set()

    async def run(self) -> NoReturn:
        limit = 0.0
        hops = 0
        leader: Manager | None = None
        while True:
            manager = leader or self._remotes.choose()
            if manager is None:
                leader = await self._leader_told()
                continue
            session = Session(
                manager,
                credentials=self._credentials,
                remotes=self._remotes,
                worker=self._worker,
                describe=self._describe,
                cluster_changed=self._cluster_changed,
                leader_told=self._leader_told,
                logs_wanted=self._logs_wanted,
            )
            began = asyncio.get_running_loop().time()
            try:
                await session.run()
            except SessionEnded as end:
                leader = end.leader
                log.info("no session with manager %s: %s", manager.address, end)
                if end.is_removed:
                    self._removed(str(end))
            except Exception:
                leader = None
                log.exception("a session with manager %s failed in a way that was not foreseen", manager.address)
            self._lost()
            if leader is None:
                self._remotes.observe(manager, BAD)
            if session.is_registered and asyncio.get_running_loop().time() - began > SETTLED:
                limit, hops = 0.0, 0
                continue
            hops += 1
            if leader is not None and hops <= HOPS:
                continue
            limit = min(FIRST_PAUSE + 2 * limit, LONGEST_PAUSE)
            hops = 0
            leader = await self._pause(random.uniform(0, limit)) or leader  # noqa: S311 (spreads load)

    async def _pause(self, seconds: float) -> Manager | None:
        """Who leads, if that is told meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                return await self._leader_told()
        except TimeoutError:
            return None

    async def _leader_told(self) -> Manager:
        while True:
            await self._telling.wait()
            self._telling.clear()
            if self._told is not None:
                return self._told
