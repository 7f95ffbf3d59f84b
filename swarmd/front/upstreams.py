"""The two servers behind the front, and how a connection to one of them is made."""

from __future__ import annotations

import asyncio
import logging
import socket

from swarmd.front.stream import Stream

log = logging.getLogger("swarmd.front")

RETRY_EVERY = 0.05
QUEUE_PATIENCE = 3.0
"""Seconds that a full queue of a listening socket is given: its process is busy, or hangs."""
SEND_BUFFER = 512 << 10
"""Bytes that a body may be ahead of its server, which takes it in bursts; 208 KiB are usual. The kernel doubles what is
asked for, after cutting it to net.core.wmem_max."""


class Unreachable(Exception):
    """No connection; ``str()`` is the reason."""


class Upstream:
    """A server on a unix socket. Says once when it stops to answer, and once when it answers again."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self._answers = True

    async def connect(self, patience: float = 0) -> Stream:
        """
        :param patience: seconds that a socket which is absent, or that nobody listens on, is tried again.
        :raises Unreachable:
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            try:
                return Stream(_connected(self.path))
            except OSError as error:
                full = isinstance(error, BlockingIOError)
                if loop.time() - started >= max(patience, QUEUE_PATIENCE if full else 0):
                    reason = "its queue of connections is full" if full else error.strerror or str(error)
                    raise Unreachable(reason) from error
            await asyncio.sleep(RETRY_EVERY)

    def answered(self) -> None:
        if not self._answers:
            self._answers = True
            log.info("%s answers again", self.name)

    def failed(self, reason: str) -> None:
        if self._answers:
            self._answers = False
            log.warning("%s at %s does not answer: %s", self.name, self.path, reason)


def _connected(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        # Not by the loop: it takes EAGAIN, which here means a full queue, for a connection on its way.
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock
