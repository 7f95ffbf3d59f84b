"""One client: its requests one after another, each to its own server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from http import HTTPStatus

from swarmd.front.exchange import LINGER, Exchange, NoAnswer
from swarmd.front.forwarding import forward
from swarmd.front.framing import Malformed, UntilClose
from swarmd.front.hangups import HangUps
from swarmd.front.heads import Request, parse_request
from swarmd.front.routes import Owner, Rule, may_become_raw, rule_for, split
from swarmd.front.servers import Servers
from swarmd.front.stream import Gone, HeadTooLarge, HeadTooSlow, Stream
from swarmd.front.upstreams import Unreachable, Upstream

SWARMD_PATIENCE = 10.0
"""Seconds that swarm's requests wait for swarmd's socket: a restart of it takes about one."""
ENGINE_PATIENCE = 3.0
"""Seconds that the engine's socket is waited for: moving it to its new name takes 1.2."""
SWARMD_SILENT = "swarmd does not answer on this node: see `systemctl status swarmd`"
_REPEATABLE = ("GET", "HEAD", "OPTIONS")


class Connection:
    def __init__(self, client: Stream, servers: Servers, hangups: HangUps) -> None:
        self._client = client
        self._servers = servers
        self._hangups = hangups
        self._kept: dict[Upstream, Stream] = {}
        self._exchange: Exchange | None = None
        self._client_gone = False
        self._stopping = False
        self._idle = True

    def finish(self) -> None:
        """Answer what has come, then end. A later request fails before it is sent, so it can safely be sent again."""
        self._stopping = True
        if self._idle:
            self._client.end_receiving()

    async def serve(self) -> None:
        """Until the client ends the connection, or an answer does; closes all that it has opened."""
        self._hangups.watch(self._client.socket, self._vanished)
        try:
            while await self._serve_one() and not (self._stopping or self._client_gone):
                pass
        except Gone:
            pass  # one side broke off: the other one is told by the end of its connection
        finally:
            self._hangups.forget(self._client.socket)
            for stream in (self._client, *self._kept.values()):
                stream.close()

    def _vanished(self) -> None:
        self._client_gone = True
        if self._exchange:
            self._exchange.client_vanished()

    async def _serve_one(self) -> bool:
        """Answer one request. Returns whether the connection can carry another."""
        self._idle = True
        try:
            head = await self._client.read_head()
            if head is None:
                return False
            self._idle = False
            request = parse_request(head)
        except Malformed as error:
            return await self._refuse(400, f"malformed HTTP request: {error}")
        except HeadTooLarge:
            return await self._refuse(431, "the head of the request is larger than 1 MiB")
        except HeadTooSlow:
            return await self._refuse(408, "the head of the request took longer than a minute")
        path, query = split(request.target)
        rule = rule_for(path, query)
        if rule.owner is Owner.SWARMD and (answered := await self._by_swarmd(request, path, rule)) is not None:
            return answered
        return await self._by_engine(request, path)

    async def _by_swarmd(self, request: Request, path: str, rule: Rule) -> bool | None:
        """As ``_serve_one``; None if the engine is to answer in its place."""
        swarmd = self._servers.swarmd
        if self._servers.refusal:
            return None if rule.engine_stands_in else await self._refuse(503, self._servers.refusal, request)
        try:
            waits = 0 if rule.engine_stands_in else SWARMD_PATIENCE
            return await self._ask(swarmd, request, path, connect_within=waits, patience=rule.patience)
        except (Unreachable, NoAnswer) as error:
            if self._client_gone:
                return False
            swarmd.failed(str(error))
            if rule.engine_stands_in and _repeatable(request):
                return None
            return await self._refuse(503, SWARMD_SILENT, request)

    async def _by_engine(self, request: Request, path: str) -> bool:
        engine = self._servers.engine
        try:
            return await self._ask(engine, request, path, connect_within=ENGINE_PATIENCE)
        except Unreachable as error:
            engine.failed(str(error))
            message = f"Cannot connect to the Docker Engine at unix://{engine.path}: {error}"
            return await self._refuse(503, f"{message}; see `systemctl status docker`", request)
        except NoAnswer as error:
            if self._client_gone:
                return False
            engine.failed(str(error))
            message = f"The Docker Engine at unix://{engine.path} {error}"
            return await self._refuse(502, f"{message}; see `systemctl status docker`", request)

    async def _ask(
        self, server: Upstream, request: Request, path: str, connect_within: float = 0, patience: float | None = None
    ) -> bool:
        """
        :raises Unreachable:
        :raises NoAnswer:
        """
        # A kept connection may be ended by the server at the moment of its use: only for what can be asked again.
        repeatable = _repeatable(request)
        stream = self._take_kept(server) if repeatable else None
        try:
            return await self._run(server, stream or await server.connect(connect_within), request, path, patience)
        except NoAnswer as error:
            if not (repeatable and error.may_be_repeated) or self._client_gone:
                raise
        return await self._run(server, await server.connect(connect_within), request, path, patience)

    async def _run(self, server: Upstream, stream: Stream, request: Request, path: str, patience: float | None) -> bool:
        raw = may_become_raw(request.method, path)
        exchange = Exchange(self._client, stream, request, self._hangups, may_become_raw=raw)
        self._exchange = exchange
        if self._client_gone:
            exchange.client_vanished()
        kept = False
        try:
            ending = await exchange.run(patience)
            server.answered()
            if ending.upstream_stays and server not in self._kept:
                self._kept[server] = stream
                kept = True
            return ending.client_stays
        finally:
            self._exchange = None
            if not kept:
                stream.close()

    def _take_kept(self, server: Upstream) -> Stream | None:
        stream = self._kept.pop(server, None)
        if stream and stream.has_ended():
            stream.close()
            return None
        return stream

    async def _refuse(self, status: int, message: str, request: Request | None = None) -> bool:
        """Answer in Docker's manner and end the connection.

        :param request: whose head has been read; None if not even that is whole.
        """
        body = b"" if request and request.method == "HEAD" else json.dumps({"message": message}).encode() + b"\n"
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        await self._client.send(head.encode() + body)
        if request is None or not request.body.done:
            # Closed with bytes unread, the connection would break while the client still writes.
            self._client.end_sending()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    await forward(self._client, UntilClose(), None)
        return False


def _repeatable(request: Request) -> bool:
    return request.method in _REPEATABLE and request.body.done and not request.upgrades
