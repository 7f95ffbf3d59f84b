"""The API for tests that ask it thousands of things: begun anew for each, its log watched for what was not foreseen."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from contextlib import suppress
from pathlib import Path

import aiohttp
import structlog
from aiohttp import web
from fake_docker_engine import FakeDockerEngine
from from_docker_api import Request
from msgspec.structs import replace
from scripted_membership import LONG_AGO, MANAGER1, MANAGER2, WORKER1, ScriptedMembership
from yarl import URL

from swarmd import orchestrator, scheduler
from swarmd.api import create_application, serving
from swarmd.engine import mounts
from swarmd.engine.container import create_body
from swarmd.engine.mounts import BadMount
from swarmd.engine.template import BadTemplate
from swarmd.model import Config, ConfigSpec, ContainerSpec, Service, ServiceSpec, Task, TaskSpec, TaskState, TaskStatus
from swarmd.reconcile import now_utc
from swarmd.store import Kind, Put, codec

DEADLINE = 5.0
"""Seconds for an answer; those that the API has set itself are 2 s."""
MOST_PLANNED = 100
"""Replicas: a plan of all that Docker allows would have no end."""
SERVICE, TASK, CONFIG = (word.ljust(25, "0") for word in ("service1", "task1", "config1"))
IDENTITIES = {
    "services": [SERVICE, "web", "serv"],
    "tasks": [TASK, f"web.1.{TASK}"],
    "configs": [CONFIG, "conf"],
    "nodes": [WORKER1, "worker1", MANAGER2, MANAGER1],
}


class Trouble(logging.Handler):
    """What was logged as an error: the API's last resort, its events' follower, aiohttp's own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()} {record.exc_info}")

    def __call__(self, logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """As a processor of structlog's."""
        if method in {"error", "exception", "critical"}:
            self.lines.append(repr(event))
        raise structlog.DropEvent


class Changing:
    """Whatever the application asks of the membership, it asks of the current one."""

    def __init__(self) -> None:
        self.current = ScriptedMembership()

    def __getattr__(self, name: str) -> object:
        return getattr(self.current, name)


class FuzzedApi:
    """The application on a real socket, in a loop of its own that runs while it is asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runner = asyncio.Runner()
        self._run = self._runner.run
        self._changing = Changing()
        self.trouble = Trouble()

    def __enter__(self) -> FuzzedApi:
        self._run(self._begin())
        logging.getLogger().addHandler(self.trouble)
        structlog.configure(processors=[structlog.processors.format_exc_info, self.trouble])
        return self

    def __exit__(self, *_: object) -> None:
        structlog.reset_defaults()
        logging.getLogger().removeHandler(self.trouble)
        self._run(self._end())
        self._runner.close()

    async def _begin(self) -> None:
        self._engine = FakeDockerEngine(self._folder / "engine.sock")
        self._engine_runner = await self._engine.start()
        application = create_application(self._changing, self._engine.socket, look_every=0.02)
        self._api_runner = serving(application, shutdown_timeout=0.1)
        await self._api_runner.setup()
        socket = self._folder / "api.sock"
        await web.UnixSite(self._api_runner, str(socket)).start()
        self._client = aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(socket)))

    async def _end(self) -> None:
        await self._client.close()
        await self._api_runner.cleanup()
        self._engine.events.put_nowait(None)
        await self._engine_runner.cleanup()

    def begin_anew(self) -> None:
        """A cluster of three nodes with a service that has a task, and a config."""
        self._run(self._cluster())
        self.trouble.lines.clear()

    async def _cluster(self) -> None:
        self._changing.current = ScriptedMembership()
        await self.membership.form()
        await self.membership.add(MANAGER2, "manager2", manager="192.168.56.11")
        await self.membership.add(WORKER1, "worker1", labels={"zone": "a"})
        template = TaskSpec(container_spec=ContainerSpec(image="nginx"))
        service = Service(SERVICE, ServiceSpec(name="web", task_template=template), 1, LONG_AGO, LONG_AGO)
        config = Config(CONFIG, ConfigSpec(name="conf", data="YQ=="), LONG_AGO, LONG_AGO)
        task = Task(
            id=TASK,
            service_id=SERVICE,
            service_name="web",
            slot=1,
            spec=template,
            spec_version=1,
            created_at=LONG_AGO,
            updated_at=LONG_AGO,
            desired_state=TaskState.RUNNING,
            status=TaskStatus(LONG_AGO, TaskState.RUNNING),
            node_id=WORKER1,
        )
        entries = (Kind.SERVICE, service), (Kind.CONFIG, config), (Kind.TASK, task)
        await self._store.commit([Put(kind, each.id, each) for kind, each in entries])

    @property
    def membership(self) -> ScriptedMembership:
        return self._changing.current

    @property
    def _store(self):
        return self.membership.the_store

    def version_of(self, path: str) -> str:
        snapshot = self._store.snapshot()
        kind = path.split("/")[1]
        if kind == "swarm":
            return str(snapshot.cluster.version if snapshot.cluster else 0)
        entries = {"services": snapshot.services, "configs": snapshot.configs, "nodes": snapshot.nodes}.get(kind, {})
        return str(max((entry.version for entry in entries.values()), default=0))

    def ask(self, request: Request) -> tuple[int, bytes]:
        return self._run(self._ask(request))

    async def _ask(self, request: Request) -> tuple[int, bytes]:
        url = URL(f"http://docker{request.path}", encoded=True)
        body = None if request.body is None else io.BytesIO(request.body)
        async with (
            asyncio.timeout(DEADLINE),
            self._client.request(
                request.method, url, data=body, headers=request.headers, skip_auto_headers=["Content-Type"]
            ) as response,
        ):
            return response.status, await response.read()

    def come_back_from_etcd(self) -> None:
        """As they were; the store behind this API keeps them in memory."""
        snapshot = self._store.snapshot()
        for kind, entries in (
            (Kind.SERVICE, snapshot.services),
            (Kind.CONFIG, snapshot.configs),
            (Kind.NODE, snapshot.nodes),
            (Kind.CLUSTER, {"": snapshot.cluster}),
        ):
            for entry in entries.values():
                assert entry is None or codec.decode(kind, Put(kind, "", entry.value).encoded) == entry.value

    def plan(self) -> None:
        """What the leader and a node would make of it, at first and once all tasks have failed."""
        self._run(self._plan())

    async def _plan(self) -> None:
        services = self._store.snapshot().services.values()
        if any(entry.value.spec.replicas > MOST_PLANNED for entry in services if not entry.value.spec.is_global):
            return
        await self._lead()
        snapshot = self._store.snapshot()
        assigned = [entry.value for entry in snapshot.tasks.values() if entry.value.status.state is TaskState.ASSIGNED]
        for task in assigned:
            with suppress(BadMount, BadTemplate):
                mounts.check(task.spec.container_spec.mounts)
                json.dumps(create_body(task, snapshot.liveness[task.node_id].value.description))
        for task in assigned:
            failed = replace(task, status=TaskStatus(now_utc(), TaskState.FAILED))
            await self._store.commit([Put(Kind.TASK, task.id, failed)])
        await self._lead()

    async def _lead(self) -> None:
        for plan in (orchestrator.plan, scheduler.place):
            for decision in plan(self._store.snapshot(), now_utc()).decisions:
                await self._store.commit(decision.changes, guards=decision.guards)
