"""A node's connection on which it brings logs, on the side of the manager that waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol

import msgspec
import structlog
from aiohttp import WSMsgType, web

from swarmd import wire
from swarmd.dispatcher.session import Farewell, bid_farewell
from swarmd.errors import Internal
from swarmd.model import new_id

log = structlog.get_logger()

DONE = 1000


class Taker(Protocol):
    """Whom the lines are for."""

    async def take(self, node_id: str, message: wire.LogLines) -> None:
        """Returns when there is room for more."""

    def ended(self, task_id: str, reason: str) -> None:
        """
        :param reason: why not all of the task's log has come; empty if it has.
        """


class Delivery:
    """Every task is ended once, whatever happens."""

    def __init__(self, node_id: str, tasks: Sequence[str], options: wire.LogOptions, taker: Taker) -> None:
        self.id = new_id()
        self.node_id = node_id
        self.tasks = tasks
        self.options = options
        self.is_claimed = False
        """The node has come."""
        self.taker = taker
        self._open = set(tasks)
        self._come = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def claim(self) -> None:
        self.is_claimed = True
        self._come.set()

    async def come(self) -> None:
        """Wait until the node has come, or will not come any more."""
        await self._come.wait()

    async def over(self) -> None:
        await self._over.wait()

    def end(self, reason: str = "") -> None:
        """Nothing more is taken."""
        left, self._open = sorted(self._open), set()
        self._over.set()
        self._come.set()
        for task_id in left:
            self.taker.ended(task_id, reason)

    def break_off(self) -> None:
        self.end(f"node {self.node_id} disconnected unexpectedly")

    async def attend(self, socket: web.WebSocketResponse) -> None:
        """Take what the node brings until it has brought all, or either side has gone; closes the connection."""
        code, words = DONE, ""
        try:
            await _first_of(self._read(socket), self._over.wait())
        except _Malformed as error:
            log.warning("what was brought as logs makes no sense", node=self.node_id, why=str(error))
            code, words = Farewell.MALFORMED, str(error)
        finally:
            self.break_off()
            await bid_farewell(socket, code, words)

    async def _read(self, socket: web.WebSocketResponse) -> None:
        while self._open:
            frame = await socket.receive()
            if frame.type is not WSMsgType.BINARY or self.is_over:
                return
            message = self._understood(frame.data)
            if isinstance(message, wire.LogLines):
                await self.taker.take(self.node_id, message)
            else:
                self._open.discard(message.task)
                self.taker.ended(message.task, message.reason and f"task {message.task}: {message.reason}")
        self._over.set()

    def _understood(self, frame: bytes) -> wire.FromNode:
        """
        :raises _Malformed: also for logs of tasks that the node was not asked for.
        """
        try:
            message = wire.from_node(frame)
        except msgspec.MsgspecError as error:
            raise _Malformed(str(error)) from error
        if message.task not in self._open:
            raise _Malformed(f"task {message.task} is not asked for")
        return message


class _Malformed(Internal):
    pass


async def _first_of(*works: Awaitable[object]) -> None:
    """The others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()
