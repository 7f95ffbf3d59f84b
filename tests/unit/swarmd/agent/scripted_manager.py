"""A manager's side of sessions, over real TLS on loopback; what it says is the test's to decide."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from aiohttp import WSMsgType, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from swarmd import wire
from swarmd.wire import Manager

LONG = 10


class Certificate:
    """One for all managers of a test, signed by itself, for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "manager")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .sign(key, hashes.SHA256())
        )
        self.file = folder / "manager.pem"
        self.file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context

    def agent(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.file)


class Line:
    """One connection of an agent."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self.is_silent = False
        self.closed = asyncio.Event()
        self._heard: asyncio.Queue[wire.FromAgent] = asyncio.Queue()

    async def say(self, message: wire.FromDispatcher) -> None:
        await self._socket.send_str(wire.encode(message))

    async def hear(self, kind: type, *, beats: bool = True) -> wire.FromAgent:
        """The next message of a kind; others are dropped, heartbeats answered."""
        async with asyncio.timeout(LONG):
            while True:
                message = await self._heard.get()
                if isinstance(message, wire.Heartbeat) and beats:
                    await self.say(wire.Beat(period=50_000_000))
                if isinstance(message, kind):
                    return message

    async def welcome(self, *managers: Manager, role: str = "worker") -> None:
        await self.hear(wire.Hello)
        await self.say(wire.Welcome(session_id="s", managers=list(managers), role=role))

    async def hang_up(self) -> None:
        await self._socket.close()

    async def attend(self) -> None:
        """Returns when either side is gone."""
        while True:
            frame = await self._socket.receive()
            match frame.type:
                case WSMsgType.TEXT:
                    self._heard.put_nowait(wire.from_agent(frame.data))
                case WSMsgType.PING if not self.is_silent:
                    await self._socket.pong(frame.data)
                case WSMsgType.PING | WSMsgType.PONG:
                    pass
                case _:
                    self.closed.set()
                    return


class ScriptedManager:
    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.lines: asyncio.Queue[Line] = asyncio.Queue()
        self.calls = 0
        self.answer: wire.Elsewhere | None = None
        """What each Hello gets, where the test does not want the line itself."""

    @property
    def entry(self) -> Manager:
        return Manager(node_id=self.node_id, address=f"127.0.0.1:{self._port}")

    async def line(self) -> Line:
        async with asyncio.timeout(LONG):
            return await self.lines.get()

    @asynccontextmanager
    async def serving(self, certificate: Certificate) -> AsyncIterator[Self]:
        application = web.Application()
        application.router.add_get(wire.SESSION_PATH, self._session)
        runner = web.AppRunner(application, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate.server())
        await site.start()
        self._port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _session(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.calls += 1
        line = Line(socket)
        if self.answer is None:
            self.lines.put_nowait(line)
            await line.attend()
        else:
            await socket.receive()
            await line.say(self.answer)
            await socket.close()
        return socket
