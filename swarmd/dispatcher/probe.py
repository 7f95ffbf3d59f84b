"""Asks machines whether their kernel is there: ICMP echo, answered by the kernel whatever its processes do."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from ipaddress import ip_address
from typing import Protocol

TIMEOUT = 0.4
"""Seconds; a later answer counts for the probe after it."""

SOL_RAW, ICMP_FILTER = 255, 1
"""``linux/icmp.h``; Python has no names for them."""

_OURS = {errno.EPERM, errno.EACCES, errno.ENOBUFS, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAGAIN}
"""What goes wrong on this machine; it says nothing of the other one."""


class Probe(Protocol):
    async def answered(self, address: str) -> bool | None:
        """Whether the machine has answered within a moment; None: it could not be asked."""


class IcmpProbe:
    """One socket per address family, opened when it is needed; needs CAP_NET_RAW, or a wide ``ping_group_range``."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._echoes: dict[bool, _Echo | None] = {}
        """By whether it is for IPv6; None: not permitted."""

    async def answered(self, address: str) -> bool | None:
        """
        :param address: an IP address; anything else cannot be asked.
        """
        try:
            is_v6 = ip_address(address).version == 6
        except ValueError:
            return None
        if is_v6 not in self._echoes:
            try:
                self._echoes[is_v6] = _Echo(is_v6)
            except OSError:
                self._echoes[is_v6] = None
        echo = self._echoes[is_v6]
        return None if echo is None else await echo.ask(address, self._timeout)

    def close(self) -> None:
        for echo in self._echoes.values():
            if echo is not None:
                echo.close()
        self._echoes.clear()


class _Echo:
    """
    :raises OSError: neither kind of socket is permitted.
    """

    def __init__(self, is_v6: bool) -> None:
        family = socket.AF_INET6 if is_v6 else socket.AF_INET
        protocol = socket.getprotobyname("ipv6-icmp") if is_v6 else socket.IPPROTO_ICMP
        self._request, self._reply = (128, 129) if is_v6 else (8, 0)
        try:
            self._socket = socket.socket(family, socket.SOCK_DGRAM, protocol)
            self._is_raw = False
        except PermissionError:
            self._socket = socket.socket(family, socket.SOCK_RAW, protocol)
            self._is_raw = True
        self._has_ip_header = self._is_raw and not is_v6
        if self._has_ip_header:
            # Else each question of the other managers wakes this process, too (raw(7)).
            self._socket.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", ~(1 << self._reply) & 0xFFFFFFFF))
        self._socket.setblocking(False)
        self._identifier = int.from_bytes(os.urandom(2), "big")
        self._sequence = 0
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._late: set[str] = set()
        """Who answered after its probe's time."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    async def ask(self, address: str, timeout: float) -> bool | None:
        self._sequence = (self._sequence + 1) & 0xFFFF
        try:
            self._socket.sendto(self._packet(), (address, 0))
        except OSError as error:
            return None if error.errno in _OURS else False
        if address in self._late:
            self._late.discard(address)
            return True
        answer: asyncio.Future[None] = self._loop.create_future()
        self._waiting.setdefault(address, set()).add(answer)
        try:
            async with asyncio.timeout(timeout):
                await answer
        except TimeoutError:
            return False
        finally:
            self._waiting[address].discard(answer)
            if not self._waiting[address]:
                del self._waiting[address]
        return True

    def _packet(self) -> bytes:
        head = struct.pack("!BBHHH", self._request, 0, 0, self._identifier, self._sequence)
        return struct.pack("!BBHHH", self._request, 0, _checksum(head), self._identifier, self._sequence)

    def _read(self) -> None:
        while True:
            try:
                packet, (address, *_) = self._socket.recvfrom(2048)
            except OSError:
                return
            if self._has_ip_header:
                packet = packet[(packet[0] & 0xF) * 4 :]
            if len(packet) < 8:
                continue
            kind, _, _, identifier, _ = struct.unpack("!BBHHH", packet[:8])
            if kind != self._reply or (self._is_raw and identifier != self._identifier):
                continue  # a datagram socket's replies are its own: the kernel sees to that, with its own identifier
            if address not in self._waiting:
                self._late.add(address)
            for answer in self._waiting.get(address, ()):
                if not answer.done():
                    answer.set_result(None)


def _checksum(packet: bytes) -> int:
    words: tuple[int, ...] = struct.unpack(f"!{len(packet) // 2}H", packet)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
