"""``GET /events``: the engine's stream and the swarm's events in one. Each is a line of JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import msgspec
from aiohttp import web

from swarmd.api.changes import Event
from swarmd.api.context import ENGINE, EVENTS, Route
from swarmd.api.filters import Filters, labels_match, parse_filters
from swarmd.errors import BadRequest
from swarmd.task_group import TaskGroup

LOOK_AT_CLIENT_EVERY = 1.0
"""Seconds: a client that has gone is noticed without an event, too."""


async def events(request: web.Request) -> web.StreamResponse:
    """Runs until ``until``, or until the client goes, or the engine ends its own stream."""
    filters = parse_filters(request.query.get("filters"))
    since, until = _moment(request, "since"), _moment(request, "until")
    version = request.match_info.get("version")
    async with (
        request.app[EVENTS].listening() as (kept, queue),
        request.app[ENGINE].stream("/events", request.query, version=version) as engine,
    ):
        if engine.status != 200:
            return web.Response(status=engine.status, body=await engine.read(), content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for event in _past(kept, since, until):
            if matches(event, filters):
                await response.write(_line(event))
        await _merge(request, response, _lines(engine), queue, filters, until)
    return response


async def _merge(
    request: web.Request,
    response: web.StreamResponse,
    engine: AsyncIterator[bytes],
    queue: asyncio.Queue[Event],
    filters: Filters,
    until: float | None,
) -> None:
    async def from_engine() -> None:
        async for line in engine:
            await response.write(line)
        raise _Over

    async def from_swarm() -> None:
        while True:
            event = await queue.get()
            if matches(event, filters):
                await response.write(_line(event))

    async def watch_the_end() -> None:
        while until is None or time.time() < until:
            if request.transport is None or request.transport.is_closing():
                raise _Over
            left = LOOK_AT_CLIENT_EVERY if until is None else min(LOOK_AT_CLIENT_EVERY, max(0.0, until - time.time()))
            await asyncio.sleep(left)
        raise _Over

    try:
        async with TaskGroup() as group:
            group.create_task(from_engine())
            group.create_task(from_swarm())
            group.create_task(watch_the_end())
    except* (_Over, ConnectionResetError, aiohttp.ClientError):
        pass


class _Over(Exception):
    """One of the reasons to end has come."""


def _past(kept: list[Event], since: float | None, until: float | None) -> list[Event]:
    """What is kept of the time asked for; nothing where the past was not asked for."""
    if since is None and until is None:
        return []
    first, last = since or 0.0, time.time() if until is None else until
    return [event for event in kept if first <= event["timeNano"] / 1e9 <= last]


async def _lines(engine: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The engine's events whole, so that none of ours comes into the midst of one."""
    rest = b""
    async for chunk in engine.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line + b"\n"
    if rest.strip():
        yield rest + b"\n"


def _line(event: Event) -> bytes:
    return msgspec.json.encode(event) + b"\n"


def matches(event: Event, filters: Filters) -> bool:
    """As ``daemon/events/filter.go``: names and ids match by their beginning, the rest wholly."""
    actor = event["Actor"]
    for key, wanted in filters.items():
        if not wanted:
            continue
        if key in {"type", "event", "scope"}:
            said = event["scope"] if key == "scope" else event["Type" if key == "type" else "Action"]
            if said not in wanted:
                return False
        elif key == "label":
            if not labels_match(actor["Attributes"], wanted):
                return False
        elif key != event["Type"] or not any(
            actor["ID"].startswith(item) or actor["Attributes"].get("name", "").startswith(item) for item in wanted
        ):
            return False
    return True


def _moment(request: web.Request, name: str) -> float | None:
    """Seconds since the epoch, as clients send it: with a fraction or without."""
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise BadRequest(f'invalid value for {name}: strconv.ParseInt: parsing "{text}": invalid syntax') from None


ROUTES: tuple[Route, ...] = (("GET", "/events", events),)
