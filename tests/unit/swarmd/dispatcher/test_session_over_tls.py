"""A session as it is in production: mutual TLS, the node known by its certificate."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from leader_and_agents import MANAGERS, Agent, a_cluster, a_node, a_task

from swarmd import wire
from swarmd.dispatcher import Dispatcher
from swarmd.errors import ClusterError
from swarmd.identity import Credentials, RootCA, contexts, new_key, new_request, peer_of
from swarmd.model import NodeRole, TaskState, TaskStatus
from swarmd.store import Kind, Put
from swarmd.store.memory import MemoryStore


@pytest.fixture
def ca():
    return RootCA.create()


@pytest.fixture
def credentials(ca, tmp_path):
    def of(node_id, role=NodeRole.WORKER):
        key_pem = new_key()
        chain_pem = ca.sign(
            new_request(key_pem), node_id=node_id, role=role, cluster_id="c1", valid_for=timedelta(days=90)
        )
        return Credentials.install(tmp_path / node_id, key_pem=key_pem, chain_pem=chain_pem, ca_pem=ca.certificate_pem)

    return of


@asynccontextmanager
async def cluster_port(store, manager):
    dispatcher = Dispatcher(store, store.lead(), managers=lambda: MANAGERS)

    async def session(request):
        try:
            peer = peer_of(request.transport.get_extra_info("ssl_object"), "c1")
        except ClusterError as error:
            return web.Response(status=error.status, text=str(error))
        websocket = web.WebSocketResponse(max_msg_size=wire.LARGEST_MESSAGE)
        await websocket.prepare(request)
        await dispatcher.handle(websocket, peer, request.remote)
        return websocket

    application = web.Application()
    application.router.add_get(wire.SESSION_PATH, session)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=manager.server_context())
    await site.start()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(dispatcher.run())
        yield f"wss://127.0.0.1:{runner.addresses[0][1]}{wire.SESSION_PATH}"
        running.cancel()
        await runner.cleanup()


@pytest.fixture
async def store():
    store = MemoryStore()
    await store.commit(
        [
            Put(Kind.CLUSTER, "c1", a_cluster()),
            Put(Kind.NODE, "n1", a_node("n1")),
            Put(Kind.NODE, "n2", a_node("n2")),
            Put(Kind.TASK, "t1", a_task("t1", "n1")),
            Put(Kind.TASK, "t2", a_task("t2", "n2")),
        ]
    )
    return store


async def test_a_node_gets_its_tasks_and_speaks_for_them_alone(store, credentials):
    manager, node = credentials("m1", NodeRole.MANAGER), credentials("n1")
    async with cluster_port(store, manager) as url, aiohttp.ClientSession() as client:
        agent = Agent(await client.ws_connect(url, ssl=node.client_context()))
        _, assignments = await agent.registers()
        assert [task.id for task in assignments.tasks] == ["t1"]
        running = TaskStatus(a_node().created_at, TaskState.RUNNING)
        await agent.say(wire.Report(1, {"t1": running, "t2": running}))
        await agent.hears(wire.Reported)
        await agent.socket.close()
    states = {task_id: entry.value.status.state for task_id, entry in store.snapshot().tasks.items()}
    assert states == {"t1": TaskState.RUNNING, "t2": TaskState.ASSIGNED}


async def test_without_a_certificate_there_is_no_session(store, credentials, ca):
    context = contexts.joining_context(ca.certificate_pem)
    async with cluster_port(store, credentials("m1", NodeRole.MANAGER)) as url, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await client.ws_connect(url, ssl=context)
    assert refusal.value.status == 401


async def test_a_worker_cannot_pose_as_the_leader(store, credentials):
    node = credentials("n1")
    async with cluster_port(store, credentials("n2")) as url, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match="swarm-manager"):
            await client.ws_connect(url, ssl=node.client_context())
