"""A cluster of daemons whose services log what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest
from nodes import DEADLINE, Nodes, RunningNode, states

from swarmd.engine.container import container_name
from swarmd.errors import IncompleteLogs
from swarmd.membership import LogPiece, LogSelector
from swarmd.model import (
    ContainerSpec,
    NodeRole,
    NodeState,
    Placement,
    ReplicatedMode,
    Service,
    ServiceMode,
    ServiceSpec,
    Task,
    TaskSpec,
    TaskState,
    new_id,
)
from swarmd.store import Delete, Kind, Put, Unchanged
from swarmd.wire import LogOptions

ALL, FOLLOWED = LogOptions(), LogOptions(follow=True)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Cluster:
    """Daemons; asked is the first, a manager. Lines are told to the engine of whichever node has the task."""

    def __init__(self, nodes: list[RunningNode]) -> None:
        self.nodes = nodes
        self.asked = nodes[0]

    async def create(self, replicas: int, *, tty: bool = False, constraints: tuple[str, ...] = ()) -> LogSelector:
        container = ContainerSpec(image="busybox", tty=tty)
        template = TaskSpec(container_spec=container, placement=Placement(constraints=list(constraints)))
        mode = ServiceMode(ReplicatedMode(replicas))
        spec = ServiceSpec(name=f"s{new_id()[:8]}", task_template=template, mode=mode)
        service = Service(id=new_id(), spec=spec, spec_version=1, created_at=NOW, updated_at=NOW)
        await self.asked.lifecycle.store().commit([Put(Kind.SERVICE, service.id, service)])
        return LogSelector(service_id=service.id)

    async def scale(self, service: LogSelector, replicas: int) -> None:
        store = self.asked.lifecycle.store()
        entry = (await store.fresh()).services[service.service_id]
        spec = msgspec.structs.replace(entry.value.spec, mode=ServiceMode(ReplicatedMode(replicas)))
        changed = msgspec.structs.replace(entry.value, spec=spec)
        guard = Unchanged(Kind.SERVICE, changed.id, entry.version)
        await store.commit([Put(Kind.SERVICE, changed.id, changed)], guards=[guard])

    async def remove(self, service: LogSelector) -> None:
        await self.asked.lifecycle.store().commit([Delete(Kind.SERVICE, service.service_id)])

    async def tasks(self, service: LogSelector, count: int, state: TaskState = TaskState.RUNNING) -> list[Task]:
        """By slot, once all are there in that state."""

        def found(snapshot) -> list[Task]:
            tasks = [entry.value for entry in snapshot.tasks.values()]
            return [one for one in tasks if one.service_id == service.service_id and one.status.state is state]

        seen = await self.asked.until(lambda snapshot: len(found(snapshot)) == count, f"{count} tasks are {state.word}")
        return sorted(found(seen), key=lambda task: task.slot)

    def node_of(self, task: Task) -> RunningNode:
        return next(node for node in self.nodes if node.id == task.node_id)

    def say(self, task: Task, text: bytes, **options) -> str:
        return self.node_of(task).engine.say(container_name(task), text, **options)

    def end(self, task: Task) -> None:
        self.node_of(task).engine.end(container_name(task), 0)

    async def read(self, selector: LogSelector, options: LogOptions = ALL) -> list[LogPiece]:
        """All of it, which comes to an end."""
        found: list[LogPiece] = []
        async with asyncio.timeout(DEADLINE), aclosing(self.asked.lifecycle.logs(selector, options)) as coming:
            async for some in coming:
                found += some
        return found

    async def read_what_is_there(self, selector: LogSelector, options: LogOptions = ALL) -> tuple[list[LogPiece], str]:
        """What comes, and why it is not all."""
        found: list[LogPiece] = []
        try:
            async with asyncio.timeout(DEADLINE), aclosing(self.asked.lifecycle.logs(selector, options)) as coming:
                async for some in coming:
                    found += some
        except IncompleteLogs as lacking:
            return found, lacking.message.partition("following reasons: ")[2]
        raise AssertionError("nothing is said to be lacking")

    @asynccontextmanager
    async def following(self, selector: LogSelector, options: LogOptions = FOLLOWED) -> AsyncIterator[Followed]:
        async with aclosing(self.asked.lifecycle.logs(selector, options)) as coming:
            yield Followed(coming)


class Followed:
    def __init__(self, coming) -> None:
        self._coming = coming
        self._pieces: list[LogPiece] = []

    async def line(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            while not self._pieces:
                self._pieces = await anext(self._coming)
        return self._pieces.pop(0).text

    async def lines(self, count: int) -> set[bytes]:
        return {await self.line() for _ in range(count)}

    async def ends(self) -> None:
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(StopAsyncIteration):
                await anext(self._coming)


async def form(nodes: Nodes, *roles: NodeRole) -> Cluster:
    """The first makes it, the others join in these roles; all are ready."""
    made = [await nodes.node(f"n{number}") for number in range(len(roles) + 1)]
    await made[0].init()
    for node, role in zip(made[1:], roles, strict=True):
        await node.join(made[0], role)
    wanted = {node.name: NodeState.READY for node in made}
    await made[0].until(lambda seen: states(seen) == wanted, "all are ready")
    return Cluster(made)
