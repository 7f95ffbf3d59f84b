"""The node's tasks: those that managers have assigned, and those that were there when the daemon started."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import NoReturn

from swarmd.agent.boot import booted_at
from swarmd.agent.outbox import Outbox
from swarmd.agent.runner import Machinery, Runner
from swarmd.agent.storage import Storage
from swarmd.engine.client import Engine
from swarmd.engine.container import NODE_ID, TASK_ID
from swarmd.engine.pull import Puller
from swarmd.engine.watch import Watch
from swarmd.errors import EngineRefused, EngineUnreachable
from swarmd.model import Task, TaskState
from swarmd.task_group import TaskGroup
from swarmd.wire import Assignments

log = logging.getLogger(__name__)


class Worker:
    """Runs tasks while ``run`` runs. Its end leaves all containers as they are; the next one takes them up."""

    def __init__(
        self,
        engine: Engine,
        storage: Storage,
        node_id: str,
        *,
        booted: datetime | None = None,
        prefer_offline_image: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        :param booted: when the engine's machine was started; absent: this one.
        :param prefer_offline_image: pull an image only where it is missing.
        """
        self.outbox = Outbox()
        self.watch = Watch(engine)
        self._engine = engine
        self._storage = storage
        self._node_id = node_id
        self._credentials: dict[str, str] = {}
        puller = Puller(engine, prefer_offline=prefer_offline_image)
        self._machinery = Machinery(engine, self.watch, puller, booted or booted_at(), now, self._credentials)
        self._runners: dict[str, Runner] = {}
        self._leftovers = asyncio.Event()
        self._started = asyncio.Event()

    @property
    def tasks(self) -> dict[str, Task]:
        """By id, each with the status that was last reached."""
        return {task_id: runner.task for task_id, runner in self._runners.items()}

    @property
    def credentials(self) -> Mapping[str, str]:
        """The registry's, by task id, of those that have yet to be pulled."""
        return self._credentials

    async def run(self) -> NoReturn:
        """Begins with the stored tasks, without any manager."""
        async with TaskGroup() as group:
            self._group = group
            group.create_task(self.watch.run())
            for task in await asyncio.to_thread(self._storage.load):
                self._begin(task, is_assigned=False)
            if self._runners:
                log.info("taking up %d stored tasks", len(self._runners))
            self._started.set()
            while True:
                await self._leftovers.wait()
                self._leftovers.clear()
                await self._remove_leftovers()

    async def assign(self, message: Assignments) -> None:
        """What managers want of this node; see :class:`swarmd.wire.Assignments` for what is to be forgotten."""
        await self._started.wait()
        gone: Iterable[str] = message.removed
        if message.complete:
            gone = self._runners.keys() - message.known - {task.id for task in message.tasks}
        for task_id in gone:
            if runner := self._runners.get(task_id):
                runner.forget()
        for task in message.tasks:
            if credentials := message.credentials.get(task.id):
                self._credentials[task.id] = credentials
            self._take(task)
        if message.complete:
            self._leftovers.set()

    def _take(self, task: Task) -> None:
        runner = self._runners.get(task.id)
        if runner is None:
            self._begin(task)
            return
        runner.redirect(task)
        self._drop_credentials(runner.task)
        if task.status != runner.task.status:
            self.outbox.put(task.id, runner.task.status)

    def _begin(self, task: Task, *, is_assigned: bool = True) -> None:
        runner = self._runners[task.id] = Runner(task, self._machinery, self._changed, is_assigned=is_assigned)
        self._group.create_task(self._see_through(runner))

    async def _see_through(self, runner: Runner) -> None:
        await runner.run()
        task_id = runner.task.id
        del self._runners[task_id]
        self._credentials.pop(task_id, None)
        self.outbox.drop(task_id)
        log.info("task %s of %s is forgotten", task_id, runner.task.service_name)
        try:
            await asyncio.to_thread(self._storage.delete, task_id)
        except (OSError, ValueError) as error:
            log.warning("the file of task %s could not be deleted: %s", task_id, error)

    def _drop_credentials(self, task: Task) -> None:
        """Once they are of no use: what is pulled is pulled."""
        if task.status.state >= TaskState.READY:
            self._credentials.pop(task.id, None)

    async def _changed(self, task: Task) -> None:
        status = task.status
        self._drop_credentials(task)
        log.info("task %s of %s is %s %s", task.id, task.service_name, status.state.word, status.err)
        try:
            await asyncio.to_thread(self._storage.save, task)
        except (OSError, ValueError) as error:
            # A full disk stops no task; after a restart, its container tells how far it had come.
            log.warning("task %s could not be stored: %s", task.id, error)
        self.outbox.put(task.id, status)

    async def _remove_leftovers(self) -> None:
        """Containers of tasks of this node that no manager knows of: the node's state was lost, or restored."""
        await self.watch.answering()
        try:
            for container in await self._engine.tasks():
                task_id = container.labels.get(TASK_ID, "")
                if container.labels.get(NODE_ID) == self._node_id and task_id not in self._runners:
                    log.warning("removing a container of task %s, which is not assigned here", task_id)
                    await self._engine.remove(container.id)
        except (EngineUnreachable, EngineRefused) as error:
            log.warning("containers without a task could not be removed now: %s", error)
