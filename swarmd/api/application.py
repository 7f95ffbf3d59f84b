"""The whole of Docker's API that is swarm's, as one application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from swarmd.api import (
    absent,
    configs,
    containers,
    events,
    info,
    logs,
    middleware,
    nodes,
    services,
    swarm,
    tasks,
    version,
)
from swarmd.api.context import ENGINE, EVENTS, MEMBERSHIP
from swarmd.api.event_log import LOOK_EVERY, EventLog
from swarmd.api.reading import LARGEST_BODY, LONGEST_FIELD
from swarmd.api.upstream import Engine
from swarmd.membership import Membership

ROUTES = (
    *swarm.ROUTES,
    *nodes.ROUTES,
    *services.ROUTES,
    *tasks.ROUTES,
    *logs.ROUTES,
    *configs.ROUTES,
    *absent.ROUTES,
    *info.ROUTES,
    *version.ROUTES,
    *events.ROUTES,
    *containers.ROUTES,
)


def create_application(
    membership: Membership, engine_socket: Path, *, look_every: float = LOOK_EVERY
) -> web.Application:
    """Every path is served with and without ``/v1.NN`` in front.

    :param engine_socket: the Docker Engine's, for the answers that are its own with ours put in.
    :param look_every: seconds between looks at what gives no notice by itself: whether this node manages, who leads.
    """
    application = web.Application(middlewares=[middleware.errors, middleware.api_version], client_max_size=LARGEST_BODY)
    application[MEMBERSHIP] = membership
    application[ENGINE] = Engine(engine_socket)
    application[EVENTS] = EventLog(membership, look_every)
    application.on_response_prepare.append(middleware.docker_headers)
    application.cleanup_ctx.append(_connections)
    for method, path, handler in ROUTES:
        for full in (path, "/v{version:[0-9.]+}" + path):
            application.router.add_route(method, full, handler)
    return application


def serving(application: web.Application, *, shutdown_timeout: float) -> web.AppRunner:
    """As Go's server reads requests: long fields, and bodies as they come, whatever they say of their encoding.

    :param shutdown_timeout: seconds that requests have to end.
    """
    return web.AppRunner(
        application,
        access_log=None,
        shutdown_timeout=shutdown_timeout,
        max_line_size=LONGEST_FIELD,
        max_field_size=LONGEST_FIELD,
        auto_decompress=False,
    )


async def _connections(application: web.Application) -> AsyncIterator[None]:
    async with application[ENGINE].connected(), application[EVENTS].following():
        yield
