"""One agent's connection: what it is told, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import msgspec
from aiohttp import ClientConnectionError, WSMsgType, web

from swarmd import wire
from swarmd.dispatcher.assignments import Difference
from swarmd.errors import Internal
from swarmd.model import Task
from swarmd.portions import portions
from swarmd.task_group import TaskGroup

SEND = 5.0
"""Seconds in which the connection must take a message, as swarmkit's time-out for a call."""
FAREWELL = 1.0
"""Seconds for the closing handshake; then the connection is cut."""
MOST_WAITING = 1_000
"""Answers not yet sent. An agent that asks faster than it listens is cut off."""
CHANGES = 100
"""Tasks in one message of changes."""
BYTES = 1 << 20
"""Of the tasks in one message with their credentials; a single one may have a little more, since a service's spec may
have as much. With the ids of 100,000 others it is still below the largest message allowed."""

CredentialsOf = Callable[[Task], str]
"""``X-Registry-Auth`` for a task's image, empty where there is none to give. Asked as its message is made."""


GONE = 1001
"""What a closing frame would say of a connection that has ended by itself."""


class Farewell(enum.IntEnum):
    """Codes of the closing frame; its reason is a sentence."""

    NOT_LEADING = 4001
    REPLACED = 4002
    REMOVED = wire.REMOVED
    DOWN = 4004
    TOO_OFTEN = 4005
    MALFORMED = 4006
    TOO_SLOW = 4007
    UNAVAILABLE = 4008


class Ended(Internal):
    """The session is over."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Session:
    def __init__(
        self,
        websocket: web.WebSocketResponse,
        node_id: str,
        session_id: str,
        credentials_of: CredentialsOf = lambda _: "",
    ) -> None:
        self.node_id = node_id
        self.session_id = session_id
        self._websocket = websocket
        self._credentials_of = credentials_of
        self._waiting: deque[wire.FromDispatcher] = deque()
        self._complete: Iterator[wire.Assignments] = iter(())
        self._difference = Difference()
        self._begun = False
        self._owed = 0
        self._told: tuple[list[wire.Manager], str] | None = None
        self._wake = asyncio.Event()
        self._end: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

    def begin(self, managers: list[wire.Manager], role: str, tasks: list[Task]) -> None:
        """Welcome the agent and tell it all its tasks; what changes from now on comes by ``assign`` and ``tell``."""
        self._begun = True
        self._told = (managers, role)
        self.post(wire.Welcome(self.session_id, managers, role))
        self._complete = complete(tasks, self._credentials_of)

    @property
    def has_begun(self) -> bool:
        return self._begun

    def assign(self, difference: Difference) -> None:
        if self._begun:
            self._difference.add(difference)
            self._wake.set()

    def tell(self, managers: list[wire.Manager], role: str) -> None:
        if self._begun and self._told != (managers, role):
            self._told = (managers, role)
            self.post(wire.ClusterChanged(managers, role))

    def post(self, message: wire.FromDispatcher) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self.close(Farewell.TOO_SLOW, "too many answers wait to be taken")
            return
        self._waiting.append(message)
        self._wake.set()

    def owes(self, answer: wire.FromDispatcher) -> Callable[[], None]:
        """An answer that has to wait for something; call what this returns when it may go out."""
        self._owed += 1
        if self._owed > MOST_WAITING:
            self.close(Farewell.TOO_SLOW, "too many reports wait to be stored")

        def pay() -> None:
            self._owed -= 1
            self.post(answer)

        return pay

    def close(self, code: Farewell, reason: str) -> None:
        if not self._end.done():
            self._end.set_result(Ended(code, reason))

    async def serve(self, hear: Callable[[wire.FromAgent | None], None]) -> Ended:
        """Until either side ends it.

        :param hear: called with each message, and with None for a sign of life that says nothing.
        """
        try:
            async with TaskGroup() as group:
                group.create_task(self._read(hear))
                group.create_task(self._write())
                group.create_task(self._await_end())
        except* Ended as endings:
            ended = _first(endings)
        return ended

    async def unless_ended(self, work: Awaitable[None]) -> None:
        """
        :raises Ended: this side has closed the session before the work was done.
        """
        try:
            async with TaskGroup() as group:
                watching = group.create_task(self._await_end())
                await work
                watching.cancel()
        except* Ended as endings:
            raise _first(endings) from None

    async def _await_end(self) -> None:
        raise await asyncio.shield(self._end)

    async def _read(self, hear: Callable[[wire.FromAgent | None], None]) -> None:
        while True:
            message = await receive(self._websocket)
            if isinstance(message, wire.Hello):
                raise Ended(Farewell.MALFORMED, "a session is opened once")
            hear(message)

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._answer()
            for part in self._complete:
                await send(self._websocket, part)
                await self._answer()
            difference, self._difference = self._difference, Difference()
            for message in messages(difference, self._credentials_of):
                await send(self._websocket, message)
                await self._answer()

    async def _answer(self) -> None:
        """No answer waits for more than one message of assignments: heartbeats have a deadline."""
        while self._waiting:
            await send(self._websocket, self._waiting.popleft())


def complete(tasks: Sequence[Task], credentials_of: CredentialsOf = lambda _: "") -> Iterator[wire.Assignments]:
    """All tasks of a node, in as many messages as they need. What is to be removed is known with the last alone."""
    named = 0
    part: list[_Given] = []
    for following in portions(_given(tasks, credentials_of), _size, largest=BYTES):
        if part:
            yield _assignments(part)
            named += len(part)
        part = following
    known = [task.id for task in tasks[:named]]
    yield msgspec.structs.replace(_assignments(part), complete=True, known=known)


def messages(difference: Difference, credentials_of: CredentialsOf = lambda _: "") -> Iterator[wire.Assignments]:
    """The changes in portions that fit into messages."""
    for part in portions(_given(difference.tasks.values(), credentials_of), _size, largest=BYTES, most=CHANGES):
        yield _assignments(part)
    removed = sorted(difference.removed - difference.tasks.keys())
    for start in range(0, len(removed), CHANGES):
        yield wire.Assignments(complete=False, tasks=[], removed=removed[start : start + CHANGES])


_Given = tuple[Task, str]
"""A task with the credentials for its image."""


def _given(tasks: Iterable[Task], credentials_of: CredentialsOf) -> Iterator[_Given]:
    return ((task, credentials_of(task)) for task in tasks)


def _size(given: _Given) -> int:
    task, credentials = given
    return len(msgspec.json.encode(task)) + len(credentials)


def _assignments(part: Sequence[_Given]) -> wire.Assignments:
    return wire.Assignments(
        complete=False,
        tasks=[task for task, _ in part],
        credentials={task.id: credentials for task, credentials in part if credentials},
    )


async def receive(websocket: web.WebSocketResponse) -> wire.FromAgent | None:
    """The next message; None is a ping.

    :raises Ended: the connection is gone, or what came makes no sense.
    """
    frame = await websocket.receive()
    if frame.type is WSMsgType.PING:
        await _within(websocket.pong(frame.data))
        return None
    if frame.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
        raise Ended(websocket.close_code or GONE, "the agent has gone")
    if frame.type is not WSMsgType.TEXT:
        raise Ended(Farewell.MALFORMED, "only messages of text are understood")
    try:
        return wire.from_agent(frame.data)
    except msgspec.MsgspecError as error:
        raise Ended(Farewell.MALFORMED, f"a message makes no sense: {error}") from error


async def send(websocket: web.WebSocketResponse, message: wire.FromDispatcher) -> None:
    """
    :raises Ended: the connection is gone, or takes nothing.
    """
    await _within(websocket.send_str(wire.encode(message)))


async def bid_farewell(websocket: web.WebSocketResponse, code: int, reason: str) -> None:
    """Close, within a second in any case. A reason may have 123 bytes."""
    with contextlib.suppress(TimeoutError, OSError, RuntimeError, ClientConnectionError):
        async with asyncio.timeout(FAREWELL):
            await websocket.close(code=code, message=reason.encode()[:123])


async def turn_away(
    websocket: web.WebSocketResponse, managers: list[wire.Manager], leader: wire.Manager | None
) -> None:
    """What a manager that does not lead answers to an agent; closes the connection."""
    with contextlib.suppress(Ended):
        await send(websocket, wire.Elsewhere(managers, leader))
    await bid_farewell(websocket, Farewell.NOT_LEADING, "this manager does not lead")


async def _within(sending: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(SEND):
            await sending
    except TimeoutError:
        raise Ended(Farewell.TOO_SLOW, f"the agent took nothing in for {SEND:g} s") from None
    except (OSError, RuntimeError, ClientConnectionError) as error:
        raise Ended(GONE, f"the connection broke: {error}") from error


def _first(group: BaseExceptionGroup[Ended]) -> Ended:
    """Of endings that came together, one that this side has decided, if there is one."""
    found: list[Ended] = []
    for error in group.exceptions:
        found.append(_first(error) if isinstance(error, BaseExceptionGroup) else error)
    return max(found, key=lambda ended: ended.code)
