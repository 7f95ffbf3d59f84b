"""The cluster port (2377): what this manager answers other nodes."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import msgspec
import structlog
from aiohttp import web

from swarmd import errors, wire
from swarmd.identity.peer import Peer, peer_of
from swarmd.identity.renewal import Renewal
from swarmd.model import NodeRole
from swarmd.node import protocol
from swarmd.node.addresses import host_of, port_of
from swarmd.node.authority import Keys

log = structlog.get_logger()

Question = TypeVar("Question", bound=msgspec.Struct)
SLOW_CLIENT = 30.0
"""Seconds that a connection may stay open without a request on it."""


class Manager(Protocol):
    """What a manager does for other nodes."""

    @property
    def ca_pem(self) -> bytes: ...
    @property
    def cluster_id(self) -> str: ...
    async def join(self, asked: protocol.Join) -> protocol.Joined: ...
    async def renew(self, asked: Renewal) -> protocol.Renewed: ...
    async def left(self, peer: Peer) -> protocol.Nothing: ...
    async def session(self, request: web.Request, peer: Peer) -> web.WebSocketResponse: ...
    async def keys(self) -> Keys: ...
    async def standing(self, asked: protocol.PeerAsked) -> protocol.Listed: ...
    async def add(self, asked: protocol.PeerAsked) -> protocol.Added: ...
    async def promote(self, asked: protocol.Promote) -> protocol.Nothing: ...
    async def remove(self, asked: protocol.PeerAsked) -> protocol.Nothing: ...
    async def hand_over(self) -> protocol.Nothing: ...
    async def want_logs(self, asked: protocol.LogsAsked) -> protocol.LogsUntold: ...
    async def take_logs(self, request: web.Request, peer: Peer) -> web.WebSocketResponse: ...
    async def require_member(self, peer: Peer, role: NodeRole | None = None) -> None:
        """
        :raises swarmd.errors.PermissionDenied: it has been removed, or demoted, whatever its certificate says.
        """


@asynccontextmanager
async def serve(manager: Manager, listen_address: str, context: ssl.SSLContext) -> AsyncIterator[None]:
    """
    :param listen_address: host:port.
    :raises OSError: the address cannot be bound.
    """
    # Every host is bound to by its address, so a host that has not got it yet is refused at once, in words.
    runner = web.AppRunner(_application(manager), access_log=None, keepalive_timeout=SLOW_CLIENT, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, host_of(listen_address), port_of(listen_address), ssl_context=context, reuse_address=True
        )
        await site.start()
        yield
    finally:
        await runner.cleanup()


def _application(manager: Manager) -> web.Application:
    application = web.Application(client_max_size=protocol.LARGEST_BODY, middlewares=[_refusals])
    door = _Door(manager)
    application.add_routes(
        [
            web.get(protocol.CA, door.ca),
            web.post(protocol.JOIN, door.join),
            web.post(protocol.RENEW, door.renew),
            web.post(protocol.LEAVE, door.leave),
            web.get(wire.SESSION_PATH, door.session),
            web.get(wire.LOGS_PATH + "/{delivery}", door.logs),
            web.post(protocol.WANT_LOGS, door.for_managers(protocol.LogsAsked, manager.want_logs)),
            web.post(protocol.KEYS, door.for_managers(protocol.KeysAsked, lambda _: manager.keys())),
            web.post(protocol.STANDING, door.for_managers(protocol.PeerAsked, manager.standing)),
            web.post(protocol.ADD, door.for_managers(protocol.PeerAsked, manager.add)),
            web.post(protocol.PROMOTE, door.for_managers(protocol.Promote, manager.promote)),
            web.post(protocol.REMOVE, door.for_managers(protocol.PeerAsked, manager.remove)),
            web.post(protocol.HAND_OVER, door.for_managers(protocol.Nothing, lambda _: manager.hand_over())),
        ]
    )
    return application


class _Door:
    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def ca(self, _: web.Request) -> web.Response:
        return web.Response(body=self._manager.ca_pem, content_type="application/x-pem-file")

    async def join(self, request: web.Request) -> web.Response:
        return _answer(await self._manager.join(await _body(request, protocol.Join)))

    async def renew(self, request: web.Request) -> web.Response:
        return _answer(await self._manager.renew(await _body(request, Renewal)))

    async def leave(self, request: web.Request) -> web.Response:
        return _answer(await self._manager.left(await self._peer(request)))

    async def session(self, request: web.Request) -> web.StreamResponse:
        return await self._manager.session(request, await self._peer(request))

    async def logs(self, request: web.Request) -> web.StreamResponse:
        return await self._manager.take_logs(request, await self._peer(request))

    def for_managers(
        self, kind: type[Question], handler: Callable[[Question], Awaitable[msgspec.Struct]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            await self._peer(request, NodeRole.MANAGER)
            return _answer(await handler(await _body(request, kind)))

        return handle

    async def _peer(self, request: web.Request, role: NodeRole | None = None) -> Peer:
        connection = request.transport.get_extra_info("ssl_object") if request.transport else None
        peer = peer_of(connection, self._manager.cluster_id)
        if role is not None:
            peer.require(role)
        await self._manager.require_member(peer, role)
        return peer


@web.middleware
async def _refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except errors.ClusterError as error:
        return _answer(protocol.Refused(error.message, error.code, error.status), error.status)
    except errors.SwarmError as error:
        return _answer(protocol.Refused(error.message, "", error.status), error.status)
    except errors.Internal as error:
        refused = protocol.Refused(f"this manager cannot do that now: {error}", "", 503)
        return _answer(refused, refused.status)
    except web.HTTPException as error:
        return _answer(protocol.Refused(error.reason, "", error.status), error.status)
    except Exception:
        log.exception("a request of another node failed", path=request.path, of=request.remote)
        return _answer(protocol.Refused("internal error in swarmd", "", 500), 500)


async def _body(request: web.Request, kind: type[Question]) -> Question:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise errors.InvalidArgument(f"cannot read the request: {error}") from error


def _answer(body: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")
