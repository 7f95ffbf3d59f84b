"""One end of a connection.

The loop's own socket calls are used, not asyncio's transports: a transport that cannot write gives up reading too, and
with it the answer of a server that refuses a body half-way. So also nothing is held but one buffer per direction, and a
side that does not read holds up the other by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket

from swarmd.front.heads import END

LARGEST_HEAD = 1 << 20
"""Bytes; as in Go's servers, of which the engine is one."""
HEAD_PATIENCE = 60
"""Seconds from a head's first byte to its last."""
_PIECE = 64 << 10


class Gone(Exception):
    """A connection is broken, or has ended where more had to come."""

    def __init__(self, stream: Stream, reason: str) -> None:
        super().__init__(reason)
        self.stream = stream


class HeadTooLarge(Exception):
    pass


class HeadTooSlow(Exception):
    pass


class Stream:
    """A connected socket, and what has been read from it and not been used yet."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.pending = b""
        self._loop = asyncio.get_running_loop()

    async def read_head(self) -> bytes | None:
        """The next head with the blank line at its end; None if the connection ends before one begins.

        Waits for the first byte without limit: a kept connection may be idle for hours.

        :raises Gone: it ended in the middle of a head.
        :raises HeadTooLarge:
        :raises HeadTooSlow:
        """
        while not (self.pending and self.pending.lstrip(b"\r\n")):
            if not await self._receive():
                return None
        self.pending = self.pending.lstrip(b"\r\n")  # RFC 9112, 2.2: empty lines before a request are to be ignored
        if (head := self._take_head(0)) is not None:
            return head
        try:
            async with asyncio.timeout(HEAD_PATIENCE):
                while True:
                    searched = len(self.pending) - len(END)
                    if not await self._receive():
                        raise Gone(self, "the connection ended in the middle of a head")
                    if (head := self._take_head(max(searched, 0))) is not None:
                        return head
        except TimeoutError:
            raise HeadTooSlow from None

    def _take_head(self, searched: int) -> bytes | None:
        end = self.pending.find(END, searched)
        if (end if end >= 0 else len(self.pending)) > LARGEST_HEAD:
            raise HeadTooLarge
        if end < 0:
            return None
        head, self.pending = self.pending[: end + len(END)], self.pending[end + len(END) :]
        return head

    async def _receive(self) -> bool:
        try:
            data = await self._loop.sock_recv(self.socket, _PIECE)
        except OSError as error:
            raise Gone(self, error.strerror or str(error)) from error
        self.pending += data
        return bool(data)

    async def read_to_end(self, limit: int) -> bytes:
        """All until the connection ends, at most about ``limit`` bytes.

        :raises Gone: the connection is broken.
        """
        while len(self.pending) < limit and await self._receive():
            pass
        data, self.pending = self.pending, b""
        return data

    async def receive_into(self, buffer: bytearray) -> int:
        """
        :raises Gone: the connection is broken.
        """
        try:
            return await self._loop.sock_recv_into(self.socket, buffer)
        except OSError as error:
            raise Gone(self, error.strerror or str(error)) from error

    async def send(self, data: bytes | memoryview) -> None:
        """Returns when the kernel has all of it.

        :raises Gone: the other side does not take any more.
        """
        try:
            await self._loop.sock_sendall(self.socket, data)
        except OSError as error:
            raise Gone(self, error.strerror or str(error)) from error

    def end_sending(self) -> None:
        """The other side reads the end of file; it can still send."""
        self._shut(socket.SHUT_WR)

    def end_receiving(self) -> None:
        """The other side cannot send any more, and who reads here reads the end of file; the answer can go on."""
        self._shut(socket.SHUT_RD)

    def drop(self) -> None:
        """End both directions, which wakes whoever reads or writes here; ``close`` remains to be called."""
        self._shut(socket.SHUT_RDWR)

    def _shut(self, how: int) -> None:
        with contextlib.suppress(OSError):  # not connected any more, or closed: nothing is left to be shut
            self.socket.shutdown(how)

    def has_ended(self) -> bool:
        """The other side has closed it, or sent what nobody asked for: not fit for another request."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(self.pending or poll.poll(0))

    def close(self) -> None:
        """Nobody may be reading or writing here any more."""
        self.socket.close()
