"""Accepts clients, and ends in good order."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Sequence

from swarmd.front.connection import Connection
from swarmd.front.hangups import HangUps
from swarmd.front.servers import Servers
from swarmd.front.stream import Stream
from swarmd.front.watchdog import keep_quiet
from swarmd.systemd import notify
from swarmd.task_group import TaskGroup

log = logging.getLogger("swarmd.front")

GRACE = 5.0
"""Seconds that running requests have to end in when the front is stopped; streams are cut then."""
ACCEPT_AT_ONCE = 32
ACCEPT_PAUSE = 0.5
"""Seconds without accepting when the process is out of file descriptors: clients wait in the socket's queue."""


class Front:
    def __init__(self, listeners: Sequence[socket.socket], servers: Servers) -> None:
        self._listeners = listeners
        self._servers = servers
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._accepting = True

    @property
    def connections(self) -> int:
        """Clients that are connected now."""
        return len(self._connections)

    async def run(self, stopped: asyncio.Event) -> None:
        """Serve until ``stopped`` is set, then let running requests end. The listeners are the caller's to close."""
        hangups = HangUps()
        try:
            async with TaskGroup() as group:
                aside = [
                    group.create_task(self._servers.watch_swarm_mode()),
                    group.create_task(keep_quiet()),
                ]
                for listener in self._listeners:
                    listener.setblocking(False)
                    self._start_accepting(listener, group, hangups)
                notify("READY=1")
                try:
                    await stopped.wait()
                finally:
                    self._stop_accepting()
                    for task in aside:
                        task.cancel()
                notify("STOPPING=1")
                await self._finish()
        finally:
            hangups.close()

    def _start_accepting(self, listener: socket.socket, group: TaskGroup, hangups: HangUps) -> None:
        if self._accepting:
            asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, listener, group, hangups)

    def _stop_accepting(self) -> None:
        self._accepting = False
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener.fileno())

    def _accept(self, listener: socket.socket, group: TaskGroup, hangups: HangUps) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ECONNABORTED:
                    continue
                log.warning("no client is accepted for %s s: %s", ACCEPT_PAUSE, error.strerror)
                loop = asyncio.get_running_loop()
                loop.remove_reader(listener.fileno())
                loop.call_later(ACCEPT_PAUSE, self._start_accepting, listener, group, hangups)
                return
            connection = Connection(Stream(sock), self._servers, hangups)
            task = group.create_task(_serve(connection))
            self._connections[task] = connection
            task.add_done_callback(self._connections.pop)

    async def _finish(self) -> None:
        for connection in self._connections.values():
            connection.finish()
        if self._connections:
            _, cut = await asyncio.wait(tuple(self._connections), timeout=GRACE)
            for task in cut:
                task.cancel()
            if cut:
                log.info("stopped; %d streams were cut", len(cut))


async def _serve(connection: Connection) -> None:
    try:
        await connection.serve()
    except Exception:
        log.exception("a connection ended by an error of the front's own; the others go on")
