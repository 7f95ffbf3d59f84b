"""A registry's credentials on their way from a user's request to the pull on a worker. Real daemons, etcd and TLS."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web
from nodes import DEADLINE, Nodes, RunningNode, roles

from swarmd.api import create_application
from swarmd.errors import NotManager
from swarmd.etcd import EtcdClient
from swarmd.model import NodeRole, TaskState
from swarmd.store import Snapshot

MANAGER, WORKER = NodeRole.MANAGER, NodeRole.WORKER
IMAGE = "registry.example.org/app"
PULLED = f"{IMAGE}:latest"
SECRET = base64.urlsafe_b64encode(b'{"username": "user", "password": "hunter2-hunter2"}').decode()
OTHER = base64.urlsafe_b64encode(b'{"username": "user", "password": "correct horse"}').decode()


@dataclass
class User:
    """Speaks to one manager's API."""

    client: aiohttp.ClientSession

    async def create(self, header: str = SECRET, replicas: int = 1) -> None:
        await self._asked("POST", "/services/create", body=_spec(replicas), headers={"X-Registry-Auth": header})

    async def update(self, header: str = "", *, replicas: int = 1, force: int = 0) -> None:
        found = await self._asked("GET", "/services/web")
        path = f"/services/web/update?version={found['Version']['Index']}"
        headers = {"X-Registry-Auth": header} if header else {}
        await self._asked("POST", path, body=_spec(replicas, force), headers=headers)

    async def _asked(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None):
        async with self.client.request(method, f"http://docker{path}", json=body, headers=headers) as response:
            assert response.status in (200, 201), await response.text()
            return json.loads(await response.read() or b"null")


def _spec(replicas: int, force: int = 0) -> dict:
    return {
        "Name": "web",
        "TaskTemplate": {
            "ContainerSpec": {"Image": IMAGE},
            "Placement": {"Constraints": ["node.role==worker"]},
            "ForceUpdate": force,
        },
        "Mode": {"Replicated": {"Replicas": replicas}},
    }


@asynccontextmanager
async def user_of(node: RunningNode) -> AsyncIterator[User]:
    """One who uses that node's daemon, as it is now."""
    application = create_application(node.lifecycle, node.folder / "e.sock")
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    socket = node.folder / "api.sock"
    socket.unlink(missing_ok=True)
    await web.UnixSite(runner, str(socket)).start()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(socket))) as client:
            yield User(client)
    finally:
        await runner.cleanup()


def private(node: RunningNode, *headers: str) -> None:
    """The registry gives the image to nobody else; nothing of it is on the node."""
    node.engine.registry.add(PULLED)
    for header in headers:
        node.engine.private[PULLED] = header


async def pulled(node: RunningNode, *headers: str) -> None:
    """Wait until the node has pulled so often, with these."""
    async with asyncio.timeout(DEADLINE):
        while len(node.engine.given) < len(headers):
            await asyncio.sleep(0.02)
    assert node.engine.given == list(headers)


def running(count: int):
    def are(seen: Snapshot) -> bool:
        tasks = [entry.value for entry in seen.tasks.values()]
        return sum(task.status.state is task.desired_state is TaskState.RUNNING for task in tasks) == count

    return are


async def clusters_data(manager: RunningNode) -> bytes:
    """All of etcd's keys and values, as they lie there."""
    serving = manager.lifecycle.manager
    assert serving is not None
    async with EtcdClient(serving.member.socket) as client:
        found = await client.range(b"\0", b"\0", timeout=5)
    return b"".join(entry.key + entry.value for entry in found.kvs)


def on_disk(node: RunningNode) -> bytes:
    return b"".join(file.read_bytes() for file in (node.folder / "s").rglob("*") if file.is_file())


async def a_manager_and_a_worker(nodes: Nodes) -> tuple[RunningNode, RunningNode]:
    one, worker = [await nodes.node(name) for name in ("one", "worker")]
    await one.init()
    await worker.join(one, WORKER)
    private(worker, SECRET)
    return one, worker


async def test_they_reach_the_pull_on_the_node_that_has_the_task_and_nothing_else(nodes: Nodes):
    one, worker = await a_manager_and_a_worker(nodes)
    with pytest.raises(NotManager):
        worker.lifecycle.seal(SECRET.encode())
    async with user_of(one) as user:
        await user.create()
        await one.until(running(1), "the task runs")
    await pulled(worker, SECRET)
    assert one.engine.given == []
    assert worker.lifecycle.current.agent.worker.credentials == {}
    data = await clusters_data(one)
    assert b"RegistryAuth" in data  # that it is looked for in the right place
    for secret in (SECRET.encode(), b"hunter2", base64.b64encode(SECRET.encode())):
        assert secret not in data + on_disk(one) + on_disk(worker)


async def test_an_update_without_them_keeps_them_and_one_with_others_does_not(nodes: Nodes):
    one, worker = await a_manager_and_a_worker(nodes)
    async with user_of(one) as user:
        await user.create()
        await one.until(running(1), "the task runs")
        await user.update(force=1)
        await pulled(worker, SECRET, SECRET)
        await one.until(running(1), "the next task runs")
        private(worker, OTHER)
        await user.update(OTHER, force=2)
        await pulled(worker, SECRET, SECRET, OTHER)
    data = await clusters_data(one)
    assert SECRET.encode() not in data  # nor as the previous spec's
    assert OTHER.encode() not in data


async def test_another_leader_opens_what_this_one_has_sealed(nodes: Nodes):
    one, two, three, worker = [await nodes.node(name) for name in ("one", "two", "three", "worker")]
    await one.init()
    await two.join(one, MANAGER)
    await three.join(one, MANAGER)
    await worker.join(one, WORKER)
    private(worker, SECRET)
    async with user_of(one) as user:
        await user.create()
        await one.until(running(1), "the task runs")
    managers = {node.id: node for node in (one, two, three)}
    leader = one.lifecycle.manager.leader()
    assert leader is not None
    await nodes.stop(managers.pop(leader.node_id))
    other = next(iter(managers.values()))
    async with user_of(other) as user:
        await user.update(replicas=2)
        await other.until(running(2), "the second task runs")
    await pulled(worker, SECRET, SECRET)


async def test_a_cluster_that_was_made_anew_opens_what_the_old_one_has_sealed(nodes: Nodes):
    one, two, worker = [await nodes.node(name) for name in ("one", "two", "worker")]
    await one.init()
    await two.join(one, MANAGER)
    await worker.join(one, WORKER)
    private(worker, SECRET)
    async with user_of(two) as user:
        await user.create()
        await one.until(running(1), "the task runs")
    await two.lifecycle.manager.process.kill()  # one that is to end in order takes long without a quorum
    await nodes.stop(two)
    await one.init(force_new_cluster=True)
    wanted = {"one": "manager*", "two": "worker", "worker": "worker"}
    await one.until(lambda seen: roles(seen) == wanted, "it is the only manager")
    async with user_of(one) as user:
        await user.update(replicas=2)
        await pulled(worker, SECRET, SECRET)


async def test_a_daemon_that_ends_while_it_pulls_pulls_with_them_when_it_is_back(nodes: Nodes):
    one, worker = await a_manager_and_a_worker(nodes)
    held = worker.engine.hold_pulls = asyncio.Event()
    async with user_of(one) as user:
        await user.create()
        await pulled(worker, SECRET)
        await nodes.stop(worker)
        worker.engine.hold_pulls = None
        held.set()
        await nodes.start(worker)
        await pulled(worker, SECRET, SECRET)
        await one.until(running(1), "the task runs")
