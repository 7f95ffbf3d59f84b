"""What handlers find in the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from swarmd.api.event_log import EventLog
from swarmd.api.upstream import Engine
from swarmd.membership import Membership

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Route = tuple[str, str, Handler]
"""Method, path without version, handler."""

MEMBERSHIP = web.AppKey[Membership]("membership")
EVENTS = web.AppKey[EventLog]("events")
ENGINE = web.AppKey[Engine]("engine")
