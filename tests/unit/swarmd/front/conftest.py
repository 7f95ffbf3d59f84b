from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from front_peers import DEADLINE, Handler, Peer, Server, connect, once

from swarmd.front.__main__ import listen
from swarmd.front.server import Front
from swarmd.front.servers import Servers
from swarmd.front.upstreams import Upstream


@dataclass
class Rig:
    """A front between two servers. ``serve`` gives one of them a behaviour."""

    path: Path
    swarmd: Server
    engine: Server
    servers: Servers
    front: Front
    stopped: asyncio.Event
    run: asyncio.Task[None]
    clients: list[Peer]

    async def client(self) -> Peer:
        peer = await connect(self.path)
        self.clients.append(peer)
        return peer

    def engine_does(self, handler: Handler) -> None:
        self.engine.handler = once(handler, self.engine)

    def swarmd_does(self, handler: Handler) -> None:
        self.swarmd.handler = handler


@pytest.fixture
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("f")  # tmp_path may be too long for a socket's name
    swarmd, engine = Server("swarmd", folder / "swarmd"), Server("engine", folder / "engine")
    await swarmd.start()
    await engine.start()
    servers = Servers(Upstream("swarmd", str(swarmd.path)), Upstream("the Docker Engine", str(engine.path)))
    stopped = asyncio.Event()
    with listen(str(folder / "docker")) as listener:
        async with asyncio.TaskGroup() as group:
            front = Front([listener], servers)
            run = group.create_task(front.run(stopped))
            rig = Rig(folder / "docker", swarmd, engine, servers, front, stopped, run, [])
            try:
                yield rig
            finally:
                for client in rig.clients:
                    await client.close()
                await swarmd.stop()
                await engine.stop()
                stopped.set()
    assert not swarmd.failures + engine.failures


Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
def eventually() -> Eventually:
    """Waits until something holds; fails after the deadline."""

    async def wait(holds: Callable[[], bool]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE):
                while not holds():
                    await asyncio.sleep(0.005)
        assert holds()

    return wait
