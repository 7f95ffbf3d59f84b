"""Notices that the other side of a unix socket is gone for good.

End of file says only that the other side sends no more (``exec -i`` at the end of its input goes on reading). Gone it
is when the kernel reports POLLHUP: both directions shut. asyncio reports that only to who reads, and nobody reads from
a client whose answer is under way; so an epoll of our own waits for it, and the loop waits for that epoll.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable


class HangUps:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._called: dict[int, Callable[[], None]] = {}
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._report)

    def watch(self, sock: socket.socket, call: Callable[[], None]) -> None:
        """Call once, from the loop, when the other side of ``sock`` is gone, or has been. One watch per socket."""
        self._called[sock.fileno()] = call
        self._epoll.register(sock.fileno(), select.EPOLLONESHOT)  # HUP and ERR are reported without being asked for

    def forget(self, sock: socket.socket) -> None:
        """Must come before the socket is closed: its number may be another's at once."""
        if self._called.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _report(self) -> None:
        for number, _ in self._epoll.poll(0):
            if call := self._called.get(number):
                call()
