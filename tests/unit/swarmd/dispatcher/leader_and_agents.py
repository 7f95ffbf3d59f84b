"""A leader's dispatcher on a real server, and agents that open real sessions to it."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
from aiohttp import web

from swarmd import wire
from swarmd.dispatcher import Dispatcher, Succession
from swarmd.dispatcher.dispatcher import no_vault
from swarmd.identity import Peer
from swarmd.model import (
    Cluster,
    DispatcherConfig,
    Node,
    NodeDescription,
    NodeRole,
    NodeSpec,
    SwarmSpec,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from swarmd.store import Kind, Put
from swarmd.store.memory import MemoryStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANAGERS = [wire.Manager("m1", "10.0.0.1:2377")]
KINDS = {Node: Kind.NODE, Task: Kind.TASK, Cluster: Kind.CLUSTER}


def a_cluster(heartbeat_period=5_000_000_000):
    spec = SwarmSpec(dispatcher=DispatcherConfig(heartbeat_period))
    return Cluster("c1", spec, NOW, NOW, ca_certificate="", worker_token="", manager_token="")


def a_node(node_id="n1", role=NodeRole.WORKER, wanted="worker"):
    return Node(node_id, NodeSpec(role=wanted), role, NOW, NOW)


def a_task(task_id="t1", node_id="n1", state=TaskState.ASSIGNED, desired=TaskState.RUNNING, **given):
    return Task(
        id=task_id,
        service_id="s1",
        service_name="web",
        slot=1,
        spec=TaskSpec(),
        spec_version=1,
        created_at=NOW,
        updated_at=NOW,
        desired_state=desired,
        status=TaskStatus(NOW, state),
        node_id=node_id,
        **given,
    )


class Agent:
    """The other side of a session, by hand."""

    def __init__(self, socket):
        self.socket = socket

    async def say(self, message):
        await self.socket.send_str(wire.encode(message))

    async def hears(self, kind=None):
        """The next message, or the next one of a kind; others are passed over."""
        async with asyncio.timeout(5):
            while True:
                frame = await self.socket.receive()
                assert frame.type is aiohttp.WSMsgType.TEXT, (frame, self.socket.close_code)
                message = wire.from_dispatcher(frame.data)
                if kind is None or isinstance(message, kind):
                    return message

    async def is_sent_away(self):
        """Passes over messages; returns the code and the reason of the closing frame."""
        async with asyncio.timeout(5):
            while (frame := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            return self.socket.close_code, frame.extra

    async def registers(self, hostname="host1"):
        await self.say(wire.Hello(NodeDescription(hostname=hostname)))
        welcome, assignments = await self.hears(), await self.hears()
        assert isinstance(welcome, wire.Welcome)
        assert isinstance(assignments, wire.Assignments)
        return welcome, assignments


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Gated(MemoryStore):
    """A store whose leader's commits, or whose news, can be held back; at first they are not."""

    def __init__(self):
        super().__init__()
        self.commits, self.news = asyncio.Event(), asyncio.Event()
        self.commits.set()
        self.news.set()
        self.knocked = asyncio.Event()

    async def commit(self, changes, *, guards=(), epoch=None):
        if epoch is not None:
            self.knocked.set()
            await self.commits.wait()
        return await super().commit(changes, guards=guards, epoch=epoch)

    async def changed(self, since):
        await super().changed(since)
        await self.news.wait()
        return self.snapshot()


class Leader:
    """Peers name themselves by the path; see test_session_over_tls for the real thing."""

    def __init__(self):
        self.store = Gated()
        self.managers = list(MANAGERS)
        self.signals = {}
        self.predecessor = None
        self.answering = set()
        """Addresses whose machines answer when they are asked."""
        self.clock = Clock()
        self.unseal = no_vault

    async def put(self, *values):
        await self.store.commit([Put(KINDS[type(value)], value.id, value) for value in values])

    async def becomes(self, done):
        """Wait until a snapshot of the store satisfies ``done``."""
        async with asyncio.timeout(5):
            snapshot = self.store.snapshot()
            while not done(snapshot):
                snapshot = await self.store.changed(snapshot.revision)
            return snapshot

    async def liveness(self, node_id, state):
        snapshot = await self.becomes(lambda s: node_id in s.liveness and s.liveness[node_id].value.state is state)
        return snapshot.liveness[node_id].value

    def state(self, node_id):
        return self.store.snapshot().liveness[node_id].value.state

    @asynccontextmanager
    async def leads(self):
        self.dispatcher = Dispatcher(
            self.store,
            self.store.lead(),
            managers=lambda: self.managers,
            signals=lambda: self.signals,
            succession=Succession(predecessor=self.predecessor, answering=self._answering),
            unseal=self.unseal,
            clock=self.clock,
        )
        application = web.Application()
        application.router.add_get("/{node}", self._session)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as self.client:
            self.running = group.create_task(self.dispatcher.run())
            yield self
            self.running.cancel()
            await runner.cleanup()

    async def _answering(self, addresses):
        return self.answering & addresses

    async def agent(self, node_id="n1"):
        return Agent(await self.client.ws_connect(f"{self.url}/{node_id}", autoclose=False))

    async def _session(self, request):
        websocket = web.WebSocketResponse(max_msg_size=wire.LARGEST_MESSAGE)
        await websocket.prepare(request)
        peer = Peer(request.match_info["node"], NodeRole.WORKER, "c1")
        await self.dispatcher.handle(websocket, peer, request.remote)
        return websocket
