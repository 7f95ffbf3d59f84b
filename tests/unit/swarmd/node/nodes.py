"""Nodes of a cluster on loopback: real etcd, real TLS, the daemon's whole life; only the Docker Engine is a double."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from engine_double import EngineDouble
from etcd_members import free_address

from swarmd.config import Config, EtcdConfig
from swarmd.engine.client import Engine
from swarmd.etcd import EtcdClient
from swarmd.membership import InitRequest, JoinRequest
from swarmd.model import NodeRole, NodeState
from swarmd.node.lifecycle import Lifecycle
from swarmd.store import Delete, Kind, Snapshot, codec

T = TypeVar("T")

DEADLINE = 20.0
CALM = {"heartbeat_interval": 100, "election_timeout": 1000}
"""Three etcds and all else share the cores of one test run."""


@dataclass
class RunningNode:
    name: str
    address: str
    folder: Path
    config: Config
    lifecycle: Lifecycle
    engine: EngineDouble
    running: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self.lifecycle.local().node_id

    def snapshot(self) -> Snapshot:
        return self.lifecycle.store().snapshot()

    async def init(self, **options: object) -> str:
        return await self.lifecycle.init(
            InitRequest(listen_address=self.address, advertise_address=self.address, **options)  # type: ignore[arg-type]
        )

    async def join(self, manager: RunningNode, role: NodeRole, *, token: str = "") -> None:
        cluster = manager.snapshot().cluster
        assert cluster is not None
        known = cluster.value.manager_token if role is NodeRole.MANAGER else cluster.value.worker_token
        await self.lifecycle.join(
            JoinRequest((manager.address,), token or known, listen_address=self.address, advertise_address=self.address)
        )

    async def remove(self, node_id: str) -> None:
        """``docker node rm --force``."""
        await self.lifecycle.expel(node_id)
        await self.lifecycle.store().commit([Delete(Kind.NODE, node_id), Delete(Kind.LIVENESS, node_id)])

    async def until_worker(self) -> None:
        await self._poll(lambda: not self.lifecycle.local().is_manager and self.lifecycle.manager is None)

    async def until_serving(self) -> None:
        await self._poll(lambda: self.lifecycle.manager is not None)
        manager = self.lifecycle.manager
        assert manager is not None
        async with asyncio.timeout(DEADLINE):
            await manager.serving()

    async def begin_managing_again(self) -> None:
        """What manages ends by an error that it did not foresee, an entry that it cannot read, and is begun anew."""
        manager = self.lifecycle.manager
        assert manager is not None
        key = codec.key(Kind.SERVICE, "unreadable")
        async with EtcdClient(manager.member.socket) as client:
            await client.put(key, b"{", timeout=5)
            await self._poll(lambda: self.lifecycle.manager is not manager)
            await client.delete(key, timeout=5)
        await self.until_serving()

    async def until_etcd_runs(self) -> None:
        await self._poll((self.folder / "s" / "etcd" / "client" / "c.sock").exists)

    async def until_refused(self) -> None:
        await self._poll(lambda: "removed from the swarm" in self.lifecycle.local().error)

    async def _poll(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(0.02)

    async def until(self, condition: Callable[[Snapshot], bool], what: str) -> Snapshot:
        """Wait until this manager's store shows it."""
        try:
            async with asyncio.timeout(DEADLINE):
                snapshot = await self.lifecycle.store().fresh()
                while not condition(snapshot):
                    snapshot = await self.lifecycle.store().changed(snapshot.revision)
                return snapshot
        except TimeoutError:
            raise AssertionError(f"{self.name} has not seen that {what}") from None


class Nodes:
    """Starts and ends daemons; what is on their disks stays."""

    def __init__(self, etcd: Path, folder: Path) -> None:
        self._etcd, self._folder = etcd, folder
        self._stack = contextlib.AsyncExitStack()
        self._engines: dict[str, Engine] = {}
        self.all: list[RunningNode] = []

    async def node(self, name: str) -> RunningNode:
        folder = self._folder / name
        folder.mkdir()
        double = EngineDouble(name)
        await self._stack.enter_async_context(double.serving(folder / "e.sock"))
        config = Config(
            state_folder=str(folder / "s"),
            engine_socket=str(folder / "e.sock"),
            etcd=EtcdConfig(
                binary=str(self._etcd),
                etcdutl=str(self._etcd.with_name("etcdutl")),
                unit="",
                peer_port=int(free_address().rpartition(":")[2]),
                **CALM,
            ),
        )
        engine = await self._stack.enter_async_context(Engine(Path(config.engine_socket)))
        node = RunningNode(name, free_address(), folder, config, Lifecycle(config, engine), double)
        self._engines[name] = engine
        self.all.append(node)
        await self.start(node)
        return node

    async def start(self, node: RunningNode) -> None:
        node.lifecycle = Lifecycle(node.config, self._engines[node.name])
        node.running = asyncio.create_task(node.lifecycle.run())
        async with asyncio.timeout(DEADLINE):
            await node.lifecycle.resumed()

    async def stop(self, node: RunningNode) -> None:
        """The daemon and its etcd, as when the machine goes down in order. Raises what the daemon has failed by."""
        assert node.running is not None
        manager = node.lifecycle.manager
        node.running.cancel()
        await asyncio.wait([node.running], timeout=DEADLINE)
        if manager is not None:
            await manager.process.stop()
        assert node.running.done(), f"{node.name} goes on although it was told to stop"
        if not node.running.cancelled():
            node.running.result()

    async def close(self) -> None:
        async with contextlib.AsyncExitStack() as closing:  # whatever one node does, the others are stopped
            closing.push_async_exit(self._stack)
            for node in reversed(self.all):
                if node.running is not None:
                    closing.push_async_callback(self.stop, node)


@contextlib.asynccontextmanager
async def nodes_on_loopback(etcd: Path, folder: Path) -> AsyncIterator[Nodes]:
    nodes = Nodes(etcd, folder)
    try:
        yield nodes
    finally:
        await nodes.close()


def roles(snapshot: Snapshot) -> dict[str, str]:
    """Hostname to role, with a star where the manager votes."""
    return {
        snapshot.liveness[node_id].value.description.hostname: entry.value.role.value
        + ("*" if entry.value.manager else "")
        for node_id, entry in snapshot.nodes.items()
        if node_id in snapshot.liveness
    }


def states(snapshot: Snapshot) -> dict[str, NodeState]:
    return {entry.value.description.hostname: entry.value.state for entry in snapshot.liveness.values()}
