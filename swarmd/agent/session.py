"""One session with the leading manager: over a WebSocket, from Hello until either side is lost.

Ends only by :class:`SessionEnded`. What it learns and delivers lives outside of it, so that the next goes on with it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import aiohttp
import msgspec

from swarmd import wire
from swarmd.agent.remotes import BAD, GOOD, Remotes
from swarmd.agent.worker import Worker
from swarmd.model import NodeDescription, NodeRole
from swarmd.model.specs import SECOND
from swarmd.task_group import TaskGroup

log = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER = 5.0
"""Seconds that a manager has for each answer. As swarmkit's."""
DESCRIBED_EVERY = 20.0
MOST_STATUSES = 1024
"""In one report. As swarmkit's."""
GOODBYE = 0.05
"""Seconds to close a connection in the orderly way, which a lost manager never answers."""
PING_EVERY = 0.2
MANAGERS_PING_EVERY = 1.0
"""A manager hears of another leader by its own store, at once."""
MISSED = 2
"""Pings' time without any frame from the leader, after which other managers are asked who leads. It costs a connection,
ends nothing by itself, and lets a node follow a new leader long before a heartbeat is overdue."""
ASKED = 1.0
"""Seconds that a manager has to say who leads."""
SHORTEST_PERIOD = 0.05
"""Seconds between heartbeats, whatever a manager says."""


class SessionEnded(Exception):
    """Why; and who leads, where that is known."""

    def __init__(self, reason: str, leader: wire.Manager | None = None, *, is_removed: bool = False) -> None:
        super().__init__(reason)
        self.leader = leader
        self.is_removed = is_removed
        """Whether the manager says that this node is not in the cluster any more."""


ClusterChanged = Callable[[list[wire.Manager], str], None]
"""Told the managers and the role that this node is to have, at each session's beginning and at each change."""


@dataclass(frozen=True)
class Credentials:
    """How the node proves itself, and knows a manager; asked anew for each connection, since certificates renew."""

    context: Callable[[], ssl.SSLContext]
    server_name: str | None = None
    """What a manager's certificate must name, where the context checks that; None: the address."""


class Session:
    def __init__(
        self,
        manager: wire.Manager,
        *,
        credentials: Credentials,
        remotes: Remotes,
        worker: Worker,
        describe: Callable[[], Awaitable[NodeDescription]],
        cluster_changed: ClusterChanged,
        leader_told: Callable[[], Awaitable[wire.Manager]],
        logs_wanted: Callable[[wire.LogsWanted], None],
    ) -> None:
        """
        :param leader_told: returns once this node has heard by another way that someone leads.
        """
        self.manager = manager
        self.is_registered = False
        self._credentials = credentials
        self._remotes = remotes
        self._worker = worker
        self._describe = describe
        self._cluster_changed = cluster_changed
        self._leader_told = leader_told
        self._logs_wanted = logs_wanted
        self._assignments: asyncio.Queue[wire.Assignments] = asyncio.Queue()
        self._beats: asyncio.Queue[wire.Beat] = asyncio.Queue()
        self._reported: asyncio.Queue[int] = asyncio.Queue()

    async def run(self) -> NoReturn:
        """
        :raises SessionEnded: always.
        """
        self._described = await self._describe()
        try:
            async with _opened(self.manager, self._credentials, self._described) as (socket, first):
                match first:
                    case wire.Welcome():
                        await self._attend(socket, first)
                    case wire.Elsewhere():
                        self._remotes.replace(first.managers)
                        raise SessionEnded("it does not lead", first.leader)
                    case _:
                        raise SessionEnded(f"it began with {type(first).__name__}")
        except BaseExceptionGroup as group:
            ends, others = group.split(SessionEnded)
            if others is not None or ends is None:
                raise
            raise _first(ends) from None
        raise SessionEnded("it closed")

    async def _attend(self, socket: aiohttp.ClientWebSocketResponse, welcome: wire.Welcome) -> None:
        self.is_registered = True
        self._be_told(welcome.managers, welcome.role)
        self._remotes.observe(self.manager, GOOD)
        log.info("session %s with manager %s", welcome.session_id, self.manager.address)
        self._heard = asyncio.get_running_loop().time()
        async with TaskGroup() as group:
            group.create_task(self._read(socket))
            group.create_task(self._apply())
            group.create_task(self._beat(socket))
            group.create_task(self._report(socket))
            group.create_task(self._describe_again(socket))
            group.create_task(self._listen_for_silence(socket))
            group.create_task(self._obey())

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> NoReturn:
        while True:
            frame = await socket.receive()
            self._heard = asyncio.get_running_loop().time()
            match frame.type:
                case aiohttp.WSMsgType.TEXT:
                    self._take(_message(frame.data))
                case aiohttp.WSMsgType.PING:
                    await _sent(socket.pong(frame.data))
                case aiohttp.WSMsgType.PONG:
                    pass
                case _:
                    raise _closed(socket, frame)

    def _take(self, message: wire.FromDispatcher) -> None:
        match message:
            case wire.Assignments():
                self._assignments.put_nowait(message)
            case wire.Beat():
                self._beats.put_nowait(message)
            case wire.Reported():
                self._reported.put_nowait(message.number)
            case wire.ClusterChanged():
                self._be_told(message.managers, message.role)
            case wire.LogsWanted():
                self._logs_wanted(message)
            case wire.Elsewhere():
                self._remotes.replace(message.managers)
                raise SessionEnded("it does not lead any more", message.leader)
            case wire.Welcome():
                raise SessionEnded("it welcomed twice")

    def _be_told(self, managers: list[wire.Manager], role: str) -> None:
        self._remotes.replace(managers)
        self._ping_every = MANAGERS_PING_EVERY if role == NodeRole.MANAGER else PING_EVERY
        self._cluster_changed(managers, role)

    async def _apply(self) -> NoReturn:
        while True:
            await self._worker.assign(await self._assignments.get())

    async def _beat(self, socket: aiohttp.ClientWebSocketResponse) -> NoReturn:
        while True:
            await _send(socket, wire.Heartbeat())
            try:
                async with asyncio.timeout(ANSWER):
                    beat = await self._beats.get()
            except TimeoutError:
                raise SessionEnded(f"no answer to a heartbeat within {ANSWER:g} s") from None
            await asyncio.sleep(max(beat.period / SECOND, SHORTEST_PERIOD))

    async def _report(self, socket: aiohttp.ClientWebSocketResponse) -> NoReturn:
        """A report that is not acknowledged in time goes out again, with what has been reached meanwhile."""
        number = 0
        while True:
            statuses = await self._worker.outbox.some(MOST_STATUSES)
            number += 1
            await _send(socket, wire.Report(number=number, statuses=statuses))
            try:
                async with asyncio.timeout(ANSWER):
                    while await self._reported.get() != number:
                        pass
            except TimeoutError:
                continue
            self._worker.outbox.delivered(statuses)

    async def _describe_again(self, socket: aiohttp.ClientWebSocketResponse) -> NoReturn:
        while True:
            await asyncio.sleep(DESCRIBED_EVERY)
            description = await self._describe()
            if description != self._described:
                await _send(socket, wire.Described(description=description))
                self._described = description

    async def _listen_for_silence(self, socket: aiohttp.ClientWebSocketResponse) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            before, every = loop.time(), self._ping_every
            await _sent(socket.ping())
            await asyncio.sleep(every)
            was_on_time = loop.time() - before < 2 * every
            if was_on_time and loop.time() - self._heard > MISSED * every:
                await self._ask_another()

    async def _ask_another(self) -> None:
        """
        :raises SessionEnded: another manager knows of another leader, or leads itself.
        """
        other = self._remotes.choose(without=self.manager)
        if other is None:
            return
        try:
            async with asyncio.timeout(ASKED), _opened(other, self._credentials, self._described) as (_, first):
                answer = first
        except (SessionEnded, TimeoutError):
            self._remotes.observe(other, BAD)
            return
        leader = other if isinstance(answer, wire.Welcome) else None
        if isinstance(answer, wire.Elsewhere):
            leader = answer.leader
        if leader is not None and leader.address != self.manager.address:
            raise SessionEnded("it is silent, and another leads", leader)

    async def _obey(self) -> NoReturn:
        while True:
            leader = await self._leader_told()
            if leader.address != self.manager.address:
                raise SessionEnded("another leads", leader)


@asynccontextmanager
async def _opened(
    manager: wire.Manager, credentials: Credentials, description: NodeDescription
) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, wire.FromDispatcher]]:
    """A connection on which Hello was said, and the manager's first message.

    :raises SessionEnded: it did not come to that.
    """
    async with aiohttp.ClientSession() as client:
        socket = await _answered(
            client.ws_connect(
                f"wss://{manager.address}{wire.SESSION_PATH}",
                ssl=credentials.context(),
                server_hostname=credentials.server_name,
                max_msg_size=wire.LARGEST_MESSAGE,
                autoping=False,
            )
        )
        try:
            await _send(socket, wire.Hello(description=description))
            frame = await _answered(socket.receive())
            if frame.type is not aiohttp.WSMsgType.TEXT:
                raise _closed(socket, frame)
            yield socket, _message(frame.data)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE):
                    await socket.close()


async def _answered(asking: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(ANSWER):
            return await asking
    except TimeoutError:
        raise SessionEnded(f"no answer within {ANSWER:g} s") from None
    except aiohttp.ClientConnectorError as error:  # its own words name the TLS context as well
        raise SessionEnded(f"it cannot be reached: {error.os_error.strerror or error.os_error}") from error
    except aiohttp.WSServerHandshakeError as error:
        raise SessionEnded(f"refused with status {error.status}", is_removed=error.status == 403) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise SessionEnded(str(error) or repr(error)) from error


async def _send(socket: aiohttp.ClientWebSocketResponse, message: wire.FromAgent) -> None:
    await _sent(socket.send_str(wire.encode(message)))


async def _sent(sending: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(ANSWER):
            await sending
    except TimeoutError:
        raise SessionEnded(f"it took nothing in for {ANSWER:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise SessionEnded(f"the connection broke: {error}") from error


def _message(text: str) -> wire.FromDispatcher:
    try:
        return wire.from_dispatcher(text)
    except msgspec.MsgspecError as error:
        raise SessionEnded(f"a message makes no sense: {error}") from error


def _closed(socket: aiohttp.ClientWebSocketResponse, frame: aiohttp.WSMessage) -> SessionEnded:
    return SessionEnded(_closing_words(socket, frame), is_removed=socket.close_code == wire.REMOVED)


def _closing_words(socket: aiohttp.ClientWebSocketResponse, frame: aiohttp.WSMessage) -> str:
    reason = frame.extra or socket.exception()
    return f"it closed: {reason}" if reason else "it closed"


def _first(group: BaseExceptionGroup[SessionEnded]) -> SessionEnded:
    """Of those that ended together, one that names a leader."""
    found: list[SessionEnded] = []
    for error in group.exceptions:
        found.append(_first(error) if isinstance(error, BaseExceptionGroup) else error)
    return next((error for error in found if error.leader), found[0])
