"""``/services/{id}/logs`` and ``/tasks/{id}/logs``: lines of all tasks in one stream, as the engine's for a container.

Words and order of the refusals: moby/moby ``api/server/router/swarm/helpers.go``, ``daemon/cluster/services.go``; the
stream: ``api/server/httputils/write_log_stream.go``.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NoReturn
from urllib.parse import quote_plus

from aiohttp import web

from swarmd.api import answers, quorum
from swarmd.api.context import MEMBERSHIP, Route
from swarmd.api.lookup import find_service, find_task
from swarmd.api.upstream import numbers
from swarmd.errors import DaemonError, SwarmError
from swarmd.membership import LogPiece, LogSelector
from swarmd.model import TaskSpec
from swarmd.task_group import TaskGroup
from swarmd.wire import LogOptions

LOOK_AT_CLIENT_EVERY = 1.0
"""Seconds: a client that has gone is noticed without a line, too."""

_FRAME = struct.Struct(">BxxxL")
_SYSTEM_ERROR = 3
_NODE, _SERVICE, _TASK = (f"com.docker.swarm.{kind}.id" for kind in ("node", "service", "task"))
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


async def of_service(request: web.Request) -> web.StreamResponse:
    _require_a_stream(request)
    service = find_service(await quorum.read(request), request.match_info["id"]).value
    return await _stream(request, LogSelector(service_id=service.id), service.spec.task_template)


async def of_task(request: web.Request) -> web.StreamResponse:
    _require_a_stream(request)
    task = find_task(await quorum.read(request), request.match_info["id"]).value
    return await _stream(request, LogSelector(task_id=task.id), task.spec)


def _require_a_stream(request: web.Request) -> None:
    if not (answers.loose_flag(request, "stdout") or answers.loose_flag(request, "stderr")):
        raise DaemonError("Bad parameters: you must choose at least one stream")


async def _stream(request: web.Request, selector: LogSelector, spec: TaskSpec) -> web.StreamResponse:
    options = LogOptions(
        stdout=answers.loose_flag(request, "stdout"),
        stderr=answers.loose_flag(request, "stderr"),
        follow=answers.loose_flag(request, "follow"),
        tail=_tail(request.query.get("tail", "")),
        since=_since(request.query.get("since", "")),
    )
    is_framed = not spec.container_spec.tty
    pieces = request.app[MEMBERSHIP].logs(selector, options)
    version = request.match_info.get("version")
    kind = "multiplexed" if is_framed and (version is None or numbers(version) >= (1, 42)) else "raw"
    response = web.StreamResponse(headers={"Content-Type": f"application/vnd.docker.{kind}-stream"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    line = Line(
        with_moment=answers.loose_flag(request, "timestamps"),
        with_details=answers.loose_flag(request, "details"),
        is_framed=is_framed,
    )
    try:
        async with TaskGroup() as group:
            watching = group.create_task(_watch(request))
            await _write(response, pieces, line)
            watching.cancel()
    except* (_Gone, ConnectionResetError):
        pass
    return response


async def _write(response: web.StreamResponse, pieces: AsyncGenerator[list[LogPiece], None], line: Line) -> None:
    try:
        async with aclosing(pieces):
            async for some in pieces:
                await response.write(b"".join(map(line, some)))
    except SwarmError as error:
        await response.write(line.framed(_SYSTEM_ERROR, f"Error grabbing logs: {error}\n".encode()))


async def _watch(request: web.Request) -> NoReturn:
    while request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(LOOK_AT_CLIENT_EVERY)
    raise _Gone


class _Gone(Exception):
    """The client has hung up."""


class Line:
    """A piece as bytes of the answer. The CLI relies on each being a frame of its own."""

    def __init__(self, *, with_moment: bool, with_details: bool, is_framed: bool) -> None:
        self._with_moment, self._with_details = with_moment, with_details
        self.framed: Callable[[int, bytes], bytes] = _framed if is_framed else _bare
        self._contexts: dict[str, bytes] = {}

    def __call__(self, piece: LogPiece) -> bytes:
        text = piece.text
        if self._with_details:
            text = self._details(piece) + b" " + text
        if self._with_moment:
            text = piece.moment.encode() + b" " + text
        return self.framed(piece.stream, text)

    def _details(self, piece: LogPiece) -> bytes:
        if piece.details:
            return _details(piece)
        if piece.task_id not in self._contexts:
            self._contexts[piece.task_id] = _details(piece)
        return self._contexts[piece.task_id]


def _details(piece: LogPiece) -> bytes:
    """Whose line it is stands above what a log driver notes under the same name."""
    all_of_it = {**piece.details, _NODE: piece.node_id, _SERVICE: piece.service_id, _TASK: piece.task_id}
    return ",".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in sorted(all_of_it.items())).encode()


def _framed(stream: int, text: bytes) -> bytes:
    return _FRAME.pack(stream, len(text)) + text


def _bare(_: int, text: bytes) -> bytes:
    return text


def _tail(text: str) -> int:
    if text in {"", "all"}:
        return -1
    if not _INTEGER.fullmatch(text):
        raise DaemonError('tail value must be a positive integer or "all"')
    if int(text) < 0:
        raise DaemonError("negative tail values not supported")
    return int(text)


def _since(text: str) -> str:
    """As the engine takes it, with nine digits of nanoseconds."""
    whole, _, fraction = text.partition(".")
    for part in (whole, fraction) if fraction else (whole,) if text else ():
        if not _INTEGER.fullmatch(part):
            raise DaemonError(f'could not parse since timestamp: strconv.ParseInt: parsing "{part}": invalid syntax')
    return f"{int(whole)}.{fraction[:9]:0<9}" if text else ""


ROUTES: tuple[Route, ...] = (
    ("GET", "/services/{id:[^/]+}/logs", of_service),
    ("GET", "/tasks/{id:[^/]+}/logs", of_task),
)
