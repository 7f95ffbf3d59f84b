"""One task on this node: carries out its steps on the engine until the managers want it forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from swarmd.agent.transition import Step, TaskFailure, advanced, cannot_be, exited, failed, hindered, next_step
from swarmd.engine import mounts
from swarmd.engine.answers import Container
from swarmd.engine.client import Engine
from swarmd.engine.container import TASK_ID, container_name, create_body, needs_node, stop_grace
from swarmd.engine.describe import node_description
from swarmd.engine.pull import Puller
from swarmd.engine.template import BadTemplate
from swarmd.engine.watch import Watch
from swarmd.errors import EngineRefused, EngineUnreachable
from swarmd.model import ContainerStatus, NodeDescription, RestartCondition, Task, TaskState, TaskStatus, TLSInfo
from swarmd.task_group import TaskGroup

log = logging.getLogger(__name__)

UNHEALTHY = "dockerexec: unhealthy container"
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
"""Seconds between attempts at a step that the engine did not answer."""
CREDENTIALS_WITHIN = 30.0
"""Seconds that a pull which a restart of the daemon broke off waits for managers: they alone have the credentials for
it. Sessions are tried each 8 s at last. After that the image may be there, or need none."""


@dataclass(frozen=True)
class Machinery:
    """What all tasks of the node share."""

    engine: Engine
    watch: Watch
    puller: Puller
    booted: datetime
    """When this machine was started."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    credentials: Mapping[str, str] = field(default_factory=dict)
    """The registry's, by task id, as managers have sent them; never on disk."""


class Runner:
    """Owns a task's status. Its desired state comes from managers by :meth:`redirect`."""

    def __init__(
        self,
        task: Task,
        machinery: Machinery,
        changed: Callable[[Task], Awaitable[None]],
        *,
        is_assigned: bool = True,
    ) -> None:
        """
        :param changed: told each new status before the next step; it stores and reports the task.
        :param is_assigned: by a manager, with the credentials that there are; else the task is one from the disk, of
            which no manager has spoken yet.
        """
        self.task = task
        self._engine = machinery.engine
        self._watch = machinery.watch
        self._puller = machinery.puller
        self._credentials = machinery.credentials
        self._booted = machinery.booted
        self._now = machinery.now
        self._changed = changed
        self._forgotten = False
        self._wake = asyncio.Event()
        self._assigned = asyncio.Event()
        if is_assigned:
            self._assigned.set()
        self._name = container_name(task)

    def redirect(self, task: Task) -> None:
        """Take over what managers write: above all what is desired, which never goes back."""
        if task.desired_state > self.task.desired_state:
            self.task = msgspec.structs.replace(self.task, desired_state=task.desired_state)
        if self.task.desired_state <= TaskState.RUNNING:
            self._assigned.set()
        self._wake.set()

    def forget(self) -> None:
        """Stop it, remove its container, end."""
        self._forgotten = True
        self._wake.set()

    async def run(self) -> None:
        """Returns once the task is forgotten."""
        self._sighting = self._watch.follow(self.task.id, self._wake.set)
        pause = FIRST_PAUSE
        try:
            while (step := self._step()) is not Step.NOTHING or not self._forgotten:
                try:
                    await self._perform(step)
                    pause = FIRST_PAUSE
                except (EngineUnreachable, EngineRefused) as error:
                    await self._hindered(step, str(error))
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
                    await self._watch.answering()
                except Exception:
                    log.exception("task %s: a step failed in a way that was not foreseen", self.task.id)
                    await asyncio.sleep(LONGEST_PAUSE)
        finally:
            self._watch.forget(self.task.id)

    def _step(self) -> Step:
        desired = TaskState.REMOVE if self._forgotten else self.task.desired_state
        step = next_step(desired, self.task.status.state)
        return Step.NOTHING if step is Step.REMOVE and self._removed else step

    _removed = False

    async def _perform(self, step: Step) -> None:
        try:
            match step:
                case Step.NOTHING:
                    await self._woken()
                case Step.ACCEPT:
                    await self._accept()
                case Step.ANNOUNCE_PREPARATION:
                    await self._advance(TaskState.PREPARING, "preparing")
                case Step.PREPARE:
                    await self._prepare()
                case Step.ANNOUNCE_START:
                    await self._advance(TaskState.STARTING, "starting")
                case Step.START:
                    await self._start()
                case Step.WAIT:
                    await self._wait()
                case Step.SHUT_DOWN:
                    await self._engine.stop(self._name, stop_grace(self.task))
                    await self._advance(TaskState.SHUTDOWN, "shutdown", await self._engine.inspect(self._name))
                case Step.REMOVE:
                    await self._engine.remove(self._name)
                    self._removed = True
        except TaskFailure as failure:
            await self._fail(failure)
        except EngineRefused as error:
            if step in {Step.SHUT_DOWN, Step.REMOVE}:
                raise  # a container that still runs is not called ended: once more
            await self._fail(TaskFailure(str(error)))

    async def _accept(self) -> None:
        """Whether a bind mount's source is there, the engine says: this daemon sees its own /tmp and no home."""
        try:
            mounts.check(self.task.spec.container_spec.mounts)
        except mounts.BadMount as error:
            raise cannot_be(error) from error
        await self._advance(TaskState.ACCEPTED, "accepted")

    async def _prepare(self) -> None:
        node = NodeDescription()
        if needs_node(self.task):
            node = node_description(await self._engine.info(), TLSInfo())
        try:
            body = create_body(self.task, node)
        except BadTemplate as error:
            raise cannot_be(error) from error
        if not await self._pulled():
            return
        try:
            await self._engine.create(self._name, body)
        except EngineRefused as error:
            if error.status != 409 or not await self._is_ours():
                raise
        await self._advance(TaskState.READY, "prepared")

    async def _pulled(self) -> bool:
        """False where something else came to be desired meanwhile."""
        async with TaskGroup() as group:
            pulling = group.create_task(self._pull())
            while self._step() is Step.PREPARE and not pulling.done():
                waking = group.create_task(self._woken())
                await asyncio.wait((pulling, waking), return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
            pulling.cancel()
        if pulling.cancelled():
            return False
        if reason := pulling.result():
            raise EngineUnreachable(reason)
        return True

    async def _pull(self) -> str:
        """Why the engine could not even try; empty if it has tried."""
        image = self.task.spec.container_spec.image
        await self._credentials_known()
        try:
            await self._puller.pull(image, self._credentials.get(self.task.id, ""))
        except EngineUnreachable as error:
            return str(error)
        except EngineRefused as error:
            log.warning("pulling %s failed: %s", image, error)
        return ""

    async def _credentials_known(self) -> None:
        """At once but for a task from the disk, where its credentials are not."""
        try:
            async with asyncio.timeout(CREDENTIALS_WITHIN):
                await self._assigned.wait()
        except TimeoutError:
            self._assigned.set()
            log.warning("task %s: no manager was heard of it; its image is pulled without credentials", self.task.id)

    async def _is_ours(self) -> bool:
        container = await self._engine.inspect(self._name)
        return container is not None and container.label(TASK_ID) == self.task.id

    async def _start(self) -> None:
        container = await self._engine.inspect(self._name)
        if container is None:
            raise self._absent()
        if container.state.status == "created":
            await self._start_container()
        while self._step() is Step.START:
            self._wake.clear()
            container = await self._engine.inspect(self._name)
            if container is None:
                raise self._absent()
            if container.health == "unhealthy":
                await self._stop_unhealthy()
            if container.has_health_check and not container.is_alive and container.state.exit_code:
                raise exited(container.state.exit_code)
            if container.health != "starting" or not container.is_alive:
                await self._advance(TaskState.RUNNING, "started", container)
            else:
                await self._wake.wait()

    async def _start_container(self) -> None:
        try:
            await self._engine.start(self._name)
        except EngineRefused as error:
            raise TaskFailure(f"starting container failed: {error}") from error

    async def _wait(self) -> None:
        while self._step() is Step.WAIT:
            self._wake.clear()
            container = await self._engine.inspect(self._name)
            if container is None and self._sighting.exit_code != 0:
                raise self._absent()
            if container is not None and container.is_alive:
                if container.health == "unhealthy":
                    await self._stop_unhealthy()
                await self._wake.wait()
            elif container is not None and self._goes_on_after_power_cut(container):
                log.info("task %s: the machine was off; starting its container again", self.task.id)
                await self._start_container()
                await self._advance(TaskState.RUNNING, "started", await self._engine.inspect(self._name))
            elif container is not None and container.state.exit_code:
                raise exited(container.state.exit_code)
            else:
                await self._advance(TaskState.COMPLETE, "finished", container)

    def _goes_on_after_power_cut(self, container: Container) -> bool:
        """In place, so that a cluster which was switched off as a whole runs again before its managers agree."""
        policy = self.task.spec.restart_policy
        may_restart = policy is None or policy.condition is not RestartCondition.NONE
        return may_restart and container.ended_with_its_machine(self._booted)

    async def _stop_unhealthy(self) -> None:
        await self._engine.stop(self._name, stop_grace(self.task))
        container = await self._engine.inspect(self._name)
        raise exited(container.state.exit_code if container else 0, UNHEALTHY)

    def _absent(self) -> TaskFailure:
        """Someone removed the container. What it ended with was told by an event, if one was heard."""
        code = self._sighting.exit_code
        return exited(code) if code else TaskFailure(f"No such container: {self._name}")

    async def _woken(self) -> None:
        await self._wake.wait()
        self._wake.clear()

    async def _advance(self, state: TaskState, message: str, container: Container | None = None) -> None:
        shown = _container_status(container) if container else None
        ports = container.ports if container and container.is_alive else ()
        await self._become(advanced(self.task.status, state, message, self._now(), shown, ports))

    async def _fail(self, failure: TaskFailure) -> None:
        await self._become(failed(self.task.status, failure, self._now()))

    async def _hindered(self, step: Step, reason: str) -> None:
        """A running task runs on without its engine: nothing to tell."""
        status = self.task.status
        if step not in {Step.WAIT, Step.REMOVE} and status.err != reason:
            await self._become(hindered(status, reason, self._now()))

    async def _become(self, status: TaskStatus) -> None:
        self.task = msgspec.structs.replace(self.task, status=status)
        await self._changed(self.task)


def _container_status(container: Container) -> ContainerStatus:
    state = container.state
    return ContainerStatus(container_id=container.id, pid=state.pid, exit_code=state.exit_code)
