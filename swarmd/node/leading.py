"""What the one manager that leads does: sessions, planning, placing, roles. It ends the moment another leads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import structlog

from swarmd import orchestrator, scheduler, wire
from swarmd.dispatcher import Dispatcher, Prober, Succession
from swarmd.errors import Deposed, InvalidArgument, NoLeader
from swarmd.leader import Leadership
from swarmd.member.admission import Admission
from swarmd.node import roles
from swarmd.node.quorum import Quorum
from swarmd.store import Store
from swarmd.task_group import TaskGroup

log = structlog.get_logger()

STALE_LEARNERS = 5.0
"""Seconds between two looks for managers whose join has died."""


@dataclass
class Leading:
    store: Store
    leadership: Leadership
    quorum: Quorum
    admission: Admission
    managers: Callable[[], list[wire.Manager]]
    prober: Prober
    unseal: Callable[[str], bytes]
    """What managers have sealed, for the nodes that need it."""
    dispatcher: Dispatcher | None = None
    """While this manager leads."""

    async def run(self) -> NoReturn:
        """Wait until this manager leads, lead, and wait again."""
        while True:
            epoch = await self.leadership.until_leading()
            try:
                async with TaskGroup() as group:
                    self.dispatcher = self._dispatcher(epoch)
                    group.create_task(self.dispatcher.run())
                    group.create_task(self._schedule(self.dispatcher, epoch))
                    group.create_task(orchestrator.run(self.store, epoch))
                    group.create_task(roles.run(self.store, epoch, remove_member=self.quorum.remove))
                    group.create_task(self._remove_stale_learners())
                    group.create_task(self._end_with(epoch))
            except* Deposed:
                self.leadership.step_down(epoch, "a write was refused")
            finally:
                self.dispatcher = None

    def _dispatcher(self, epoch: int) -> Dispatcher:
        succession = Succession(
            self.quorum.credentials.node_id, self.leadership.predecessor, answering=self.prober.answering
        )
        return Dispatcher(
            self.store,
            epoch,
            managers=self.managers,
            signals=lambda: self.prober.signals,
            succession=succession,
            unseal=self.unseal,
        )

    async def _schedule(self, dispatcher: Dispatcher, epoch: int) -> None:
        """Not before it is known who is there: the predecessor's node would look ready."""
        await dispatcher.opened()
        await scheduler.run(self.store, epoch)

    async def _end_with(self, epoch: int) -> NoReturn:
        await self.leadership.until_deposed(epoch)
        raise Deposed

    async def _remove_stale_learners(self) -> NoReturn:
        while True:
            await asyncio.sleep(STALE_LEARNERS)
            with contextlib.suppress(NoLeader, InvalidArgument):
                for member in await self.admission.remove_stale():
                    log.info("removed a manager that never finished joining", peer=member.peer_url)
