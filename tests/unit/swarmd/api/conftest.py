from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from fake_docker_engine import FakeDockerEngine
from scripted_membership import LONG_AGO, MANAGER2, WORKER1, ScriptedMembership

from swarmd.api import create_application, serving
from swarmd.model import ContainerStatus, Task, TaskState, TaskStatus, new_id
from swarmd.store import Kind, Put

AddTask = Callable[..., Awaitable[Task]]


@dataclass
class Api:
    """The application on a real socket, and a client of it."""

    socket: Path
    membership: ScriptedMembership
    engine: FakeDockerEngine
    client: aiohttp.ClientSession
    application: web.Application

    async def call(self, method: str, path: str, body: object = None, **options: Any) -> tuple[int, Any]:
        """Status, and the answer's JSON, or its text where it is none."""
        if body is not None:
            options["json"] = body
        async with self.client.request(method, f"http://docker{path}", **options) as response:
            text = await response.text()
            try:
                return response.status, json.loads(text)
            except ValueError:
                return response.status, text

    async def get(self, path: str, filters: object = None, **query: str) -> Any:
        if filters is not None:
            query["filters"] = json.dumps(filters)
        status, value = await self.call("GET", path, params=query)
        assert status == 200, value
        return value

    async def refused(self, method: str, path: str, body: object = None, **options: Any) -> tuple[int, str]:
        status, value = await self.call(method, path, body, **options)
        assert status >= 400, value
        return status, value["message"]


@pytest.fixture
def membership() -> ScriptedMembership:
    return ScriptedMembership()


@pytest.fixture
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FakeDockerEngine]:
    engine = FakeDockerEngine(tmp_path_factory.mktemp("e") / "docker.sock")
    runner = await engine.start()
    yield engine
    engine.events.put_nowait(None)
    await runner.cleanup()


@pytest.fixture
async def api(
    membership: ScriptedMembership, engine: FakeDockerEngine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    socket = tmp_path_factory.mktemp("a") / "api.sock"
    application = create_application(membership, engine.socket, look_every=0.02)
    runner = serving(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(socket))) as client:
        yield Api(socket, membership, engine, client, application)
    await runner.cleanup()


@pytest.fixture
async def swarm(api: Api) -> Api:
    """Two managers and a worker; asked is the first manager, which leads."""
    await api.membership.form()
    await api.membership.add(MANAGER2, "manager2", manager="192.168.56.11")
    await api.membership.add(WORKER1, "worker1", labels={"zone": "a"})
    return api


@pytest.fixture
def add_task(membership: ScriptedMembership) -> AddTask:
    """Puts a task of a stored service into the store, in the state given."""

    async def add(
        service_id: str,
        slot: int,
        state: TaskState,
        *,
        desired: TaskState = TaskState.RUNNING,
        node: str = WORKER1,
        spec_version: int | None = None,
        err: str = "",
    ) -> Task:
        service = membership.the_store.snapshot().services[service_id].value
        started = state is TaskState.RUNNING
        task = Task(
            id=new_id(),
            service_id=service_id,
            service_name=service.spec.name,
            slot=slot,
            spec=service.spec.task_template,
            spec_version=service.spec_version if spec_version is None else spec_version,
            created_at=LONG_AGO,
            updated_at=LONG_AGO,
            desired_state=desired,
            status=TaskStatus(
                LONG_AGO,
                state,
                "started" if started else state.word,
                err,
                ContainerStatus("f" * 64, 42) if started else None,
            ),
            node_id=node,
            service_labels=service.spec.labels,
        )
        await membership.the_store.commit([Put(Kind.TASK, task.id, task)])
        return task

    return add
