"""A unix socket before a member's own, which can hold back and cut what passes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


class Relay:
    def __init__(self, upstream: Path) -> None:
        self._upstream = upstream
        self._clients: set[asyncio.StreamWriter] = set()
        self._members: set[asyncio.StreamWriter] = set()
        self._held: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._held_answers: list[tuple[asyncio.StreamWriter, bytes]] = []
        self.open = True
        """Whether connections are taken; otherwise they end at once."""
        self.hold_requests = False
        self.hold_answers = False
        self.seen: asyncio.Queue[bytes] = asyncio.Queue()
        """What clients sent."""
        self.answered: asyncio.Queue[bytes] = asyncio.Queue()
        """Answers that are held back."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.close()
            return
        try:
            upstream_reader, upstream = await asyncio.open_unix_connection(str(self._upstream))
        except OSError:
            writer.close()
            return
        self._clients.add(writer)
        self._members.add(upstream)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, upstream))
                group.create_task(self._answers(upstream_reader, writer))
        except* OSError:
            pass
        finally:
            writer.close()

    async def _requests(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.hold_requests:
                self._held.append((upstream, data))
            else:
                upstream.write(data)
            self.seen.put_nowait(data)

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.hold_answers:
                self._held_answers.append((writer, data))
                self.answered.put_nowait(data)
            else:
                with contextlib.suppress(OSError):
                    writer.write(data)

    async def until_sent(self, part: bytes) -> None:
        """Wait until a client has sent this, since the last time that was asked."""
        while part not in await self.seen.get():
            pass

    def cut(self) -> None:
        """End the clients' connections. Those to the member stay, for what is held back for them."""
        for client in self._clients:
            client.transport.abort()
        self._clients.clear()
        self._held_answers.clear()

    def release_answers(self) -> None:
        """Hand on the answers that have been held back so far; later ones still are, if that is asked for."""
        for client, data in self._held_answers:
            client.write(data)
        self._held_answers.clear()

    def release(self) -> None:
        for upstream, data in self._held:
            upstream.write(data)
        self._held.clear()

    def close(self) -> None:
        self.cut()
        for member in self._members:
            member.transport.abort()


@asynccontextmanager
async def relayed(upstream: Path) -> AsyncIterator[tuple[Path, Relay]]:
    """A relay before a member's socket, and the path of the relay's own."""
    path = upstream.with_name("r.sock")
    relay = Relay(upstream)
    server = await asyncio.start_unix_server(relay.serve, path)
    try:
        yield path, relay
    finally:
        server.close()
        relay.close()
        await asyncio.sleep(0)
