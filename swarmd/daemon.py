"""The daemon as a whole: the API on its socket, this node's life in a cluster, and a beat for the supervisor."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from aiohttp import web

from swarmd import __version__
from swarmd.api import create_application, serving
from swarmd.config import Config
from swarmd.engine.client import Engine
from swarmd.files import private_folder
from swarmd.metrics import Handler, exposition
from swarmd.node.addresses import host_of, port_of
from swarmd.node.lifecycle import Lifecycle
from swarmd.supervisor import heartbeat
from swarmd.systemd import inherited_sockets
from swarmd.task_group import TaskGroup

log = structlog.get_logger()


async def serve(config: Config) -> None:
    """Until cancelled, or until the supervisor has gone."""
    # What was imported lives as long as the daemon; looking at it with every full collection took 0.5 s beside 100,000
    # tasks, and stood in the way of heartbeats.
    gc.freeze()
    gc.set_threshold(50_000, 20, 1000)
    beats = heartbeat.descriptor()
    private_folder(config.state)
    async with Engine(Path(config.engine_socket)) as engine:
        lifecycle = Lifecycle(config, engine)
        application = create_application(lifecycle, Path(config.engine_socket))
        metrics = exposition(lifecycle)
        application.router.add_get("/metrics", metrics)
        async with TaskGroup() as group:
            running = group.create_task(lifecycle.run())
            await lifecycle.resumed()
            async with _listening(application, config), _showing_metrics(metrics, config.metrics_address):
                log.info(f"swarmd {__version__} serves")
                if beats is None:
                    await asyncio.Event().wait()
                else:
                    await heartbeat.beat(beats)
                    log.warning("the supervisor has gone: this daemon ends, and its successor goes on")
            running.cancel()


@asynccontextmanager
async def _listening(application: web.Application, config: Config) -> AsyncIterator[None]:
    """The API on the socket that systemd hands over, or on one of our own."""
    runner = serving(application, shutdown_timeout=2.0)
    await runner.setup()
    try:
        inherited = inherited_sockets()
        for one in inherited:
            await web.SockSite(runner, one, backlog=4096).start()
        if not inherited:
            path = Path(config.api_socket)
            private_folder(path.parent)
            path.unlink(missing_ok=True)
            await web.UnixSite(runner, str(path)).start()
            path.chmod(0o600)
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _showing_metrics(handler: Handler, address: str) -> AsyncIterator[None]:
    """On host:port, if there is one: metrics alone, since whoever reaches the API may do everything."""
    if not address:
        yield
        return
    application = web.Application()
    application.router.add_get("/metrics", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host_of(address), port_of(address)).start()
        yield
    finally:
        await runner.cleanup()
