"""The two sides of the front: servers on real unix sockets that do as a test tells them, and a client by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

DEADLINE = 10
MEGABYTE = b"m" * (1 << 20)
END = b"\r\n\r\n"


@dataclass
class Peer:
    """One connection, as a server or a client sees it. Every wait has a deadline."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), DEADLINE)

    async def read_head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(END), DEADLINE)

    async def read(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), DEADLINE)

    async def read_to_end(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), DEADLINE)

    async def read_answer(self) -> tuple[int, bytes]:
        """Status and body of an answer that has a length."""
        head = await self.read_head()
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length, head
        return int(head.split()[1]), await self.read(int(length[1]))

    async def ask(self, method: str, target: str) -> tuple[int, dict[str, str]]:
        """A request without a body, and its JSON answer."""
        await self.send(f"{method} {target} HTTP/1.1\r\nHost: docker\r\n\r\n".encode())
        status, body = await self.read_answer()
        return status, json.loads(body)

    def end_sending(self) -> None:
        self.writer.write_eof()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(self.writer.wait_closed(), DEADLINE)


async def connect(path: Path) -> Peer:
    return Peer(*await asyncio.open_unix_connection(path))


Handler = Callable[[Peer], Awaitable[None]]


class Server:
    """Handles each connection as ``handler`` says; as a plain HTTP server until a test gives another one."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.handler: Handler = self.answer_plainly
        self.asked: list[str] = []
        """First lines of the requests that were answered plainly."""
        self.connections = 0
        self.failures: list[BaseException] = []
        self._peers: list[Peer] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._handle, self.path)

    async def stop(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        for peer in self._peers:
            await peer.close()
        self.path.unlink(missing_ok=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self._peers.append(peer)
        self.connections += 1
        try:
            await self.handler(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception as error:
            self.failures.append(error)
        finally:
            await peer.close()

    async def answer_plainly(self, peer: Peer) -> None:
        while True:
            head = await asyncio.wait_for(peer.reader.readuntil(END), None)
            line = head.partition(b"\r\n")[0].decode()
            if line == "GET /info HTTP/1.0":  # the front's own question
                await peer.send(b'HTTP/1.0 200 OK\r\n\r\n{"Swarm": {"LocalNodeState": "inactive"}}')
                return
            self.asked.append(line)
            if length := re.search(rb"content-length: (\d+)", head, re.IGNORECASE):
                await peer.read(int(length[1]))
            await peer.send(answer(json.dumps({"by": self.name, "line": line}).encode()))


async def fill_up(peer: Peer) -> int:
    """Send until nothing more is taken, past asyncio's buffers; returns the bytes taken."""
    number = peer.writer.get_extra_info("socket").fileno()
    taken, idle = 0, 0
    while idle < 20:  # rounds of the loop: by then all that can move has moved
        try:
            taken, idle = taken + os.write(number, MEGABYTE), 0
        except BlockingIOError:
            idle += 1
        await asyncio.sleep(0)
    return taken


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def once(handler: Handler, server: Server) -> Handler:
    """``handler`` for requests of clients; the front's own question is answered plainly."""

    async def handle(peer: Peer) -> None:
        head = await peer.read_head()
        rest = peer.reader._buffer  # type: ignore[attr-defined]
        rest[:0] = head
        await (server.answer_plainly(peer) if head.startswith(b"GET /info HTTP/1.0") else handler(peer))

    return handle
