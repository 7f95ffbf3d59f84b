"""Brings logs of this node's tasks to the managers that ask for them, each on a connection of its own.

Nothing waits here but one piece of each log: a manager that takes nothing in stops the reading of the engine.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import NoReturn

import aiohttp

from swarmd import wire
from swarmd.agent.session import Credentials
from swarmd.engine.client import Engine
from swarmd.engine.container import container_name
from swarmd.engine.logs import log_lines
from swarmd.errors import EngineRefused, EngineUnreachable
from swarmd.model import Task
from swarmd.task_group import TaskGroup

log = logging.getLogger(__name__)

CONNECT = 4.0
"""Seconds to reach the manager; after a little more it has given this node up."""
GOODBYE = 1.0
"""Seconds for the closing handshake; a manager whose user does not read on takes no farewell in, either."""
READERS = 8
"""Logs read at once by one delivery that does not follow them: a node may have thousands of a service's past tasks."""
GONE = {404, 409}
"""What the engine answers of a container that is not there, or is being removed."""
KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
"""A machine that was switched off says nothing, and a log that is followed may be silent for days. Pings of the
WebSocket would not do: they are answered only by a manager whose user reads on."""


class Logs:
    def __init__(self, engine: Engine, tasks: Callable[[], Mapping[str, Task]], credentials: Credentials) -> None:
        """
        :param tasks: those of this node, by id.
        """
        self._engine, self._tasks, self._credentials = engine, tasks, credentials
        self._wanted: asyncio.Queue[wire.LogsWanted] = asyncio.Queue()

    def bring(self, wanted: wire.LogsWanted) -> None:
        self._wanted.put_nowait(wanted)

    async def run(self) -> NoReturn:
        """Until cancelled, which ends all deliveries. Independent of sessions: a new leader cuts nothing."""
        async with TaskGroup() as group:
            while True:
                wanted = await self._wanted.get()
                group.create_task(self._deliver(wanted))

    async def _deliver(self, wanted: wire.LogsWanted) -> None:
        here = self._tasks()
        tasks = {task_id: here.get(task_id) for task_id in wanted.tasks}
        try:
            async with self._connected(wanted) as connection:
                await _Delivery(connection, self._engine, wanted.options).bring(tasks)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("logs could not be brought to manager %s: %s", wanted.manager.address, error or "no answer")
        except Exception:
            log.exception("bringing logs to manager %s failed in a way that was not foreseen", wanted.manager.address)

    @asynccontextmanager
    async def _connected(self, wanted: wire.LogsWanted) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with aiohttp.ClientSession() as client:
            async with asyncio.timeout(CONNECT):
                connection = await client.ws_connect(
                    f"wss://{wanted.manager.address}{wire.LOGS_PATH}/{wanted.delivery}",
                    ssl=self._credentials.context(),
                    server_hostname=self._credentials.server_name,
                    timeout=aiohttp.ClientWSTimeout(ws_close=GOODBYE),
                )
            keep_alive(connection.get_extra_info("socket"))
            try:
                yield connection
            finally:
                with suppress(TimeoutError):
                    async with asyncio.timeout(GOODBYE):
                        await connection.close()


class _Delivery:
    def __init__(self, connection: aiohttp.ClientWebSocketResponse, engine: Engine, options: wire.LogOptions) -> None:
        self._connection, self._engine, self._options = connection, engine, options
        # Those that are followed do not come to an end, so that none may wait for another.
        self._reading = asyncio.Semaphore(READERS) if not options.follow else None
        self._sending = asyncio.Lock()

    async def bring(self, tasks: Mapping[str, Task | None]) -> None:
        """Until the manager closes: it has all, or its user has enough. Would this side close once all is sent, the end
        could be lost that waits for a user who reads slowly."""
        try:
            async with TaskGroup() as group:
                readers = [group.create_task(self._bring_one(task_id, task)) for task_id, task in tasks.items()]
                await self._closed()
                for reader in readers:
                    reader.cancel()
        except BaseExceptionGroup as failures:
            raise _first(failures) from None

    async def _closed(self) -> None:
        """Wait until the manager has closed, or has gone."""
        while not self._connection.closed:
            await self._connection.receive()

    async def _bring_one(self, task_id: str, task: Task | None) -> None:
        if self._reading is None:
            reason = await self._read(task)
        else:
            async with self._reading:
                reason = await self._read(task)
        await self._send(wire.LogEnd(task_id, reason))

    async def _read(self, task: Task | None) -> str:
        """Why that is not the whole log; empty if it is. A container that is not there any more has no log."""
        if task is None:
            return ""
        lines = log_lines(self._engine, container_name(task), self._options, has_terminal=task.spec.container_spec.tty)
        try:
            async with aclosing(lines):
                async for some in lines:
                    await self._send(wire.LogLines(task.id, some))
        except EngineRefused as error:
            return "" if error.status in GONE else str(error)
        except EngineUnreachable as error:
            return str(error)
        return ""

    async def _send(self, message: wire.FromNode) -> None:
        async with self._sending:
            await self._connection.send_bytes(wire.encode_log(message))


def keep_alive(connection: socket.socket | None) -> None:
    """Have the kernel notice that the machine at the other end was switched off."""
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
