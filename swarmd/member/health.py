"""Which members take part now, as seen from this node.

Client ports are unix sockets, so another member is asked on its peer port: ``GET /version`` over mutual TLS, which
etcd's own process must answer. A frozen etcd completes a TCP handshake in its kernel but not this; a host that is off,
or a link that is down in either direction, fails too. etcd's own view (``etcd_network_active_peers``) is late by 5 s,
and a question to the other swarmd would call a healthy etcd beside a hung swarmd dead.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol, Self

import aiohttp
import msgspec

from swarmd.etcd import EtcdClient, EtcdError, EtcdUnavailable
from swarmd.etcd.stubs import rpc_pb2 as rpc
from swarmd.member.arguments import PeerFiles
from swarmd.member.roster import Member, roster, voters
from swarmd.membership import Reachability

ANSWER = 0.4
"""Seconds for one member; a live one takes 1 ms on an open connection, 5 ms on a new one."""
FRESH = 0.5
"""Seconds for which a reachability is worth repeating."""
STATUS = 0.25
"""Seconds for this node's own etcd to say how it is, which takes 0.7 ms."""
ELECTIONS = 3
"""Election time-outs after which a leader that is missing is not being elected: a usual election takes one to two. etcd
ends watches after as many (3.5 ``etcdserver/api/v3rpc/interceptor.go``)."""
SHORTEST_PATIENCE = 1.0
LOOKS_APART = 3.0
"""Seconds after which an earlier look proves nothing any more: the machine, or this process, may have slept."""


class _Listed(msgspec.Struct, frozen=True):
    id: int


_members = msgspec.json.Decoder(list[_Listed])


class Probe(Protocol):
    async def answers(self, peer_url: str) -> bool:
        """Whether etcd's process at that URL answers within 0.4 s. Never raises."""

    async def listed(self, peer_url: str) -> frozenset[int] | None:
        """Ids of the members that this member knows of, by what it has applied; None: no answer. Never raises."""


class PeerProbe:
    """Asks peers as a peer; keeps connections open between questions. Use as ``async with``."""

    def __init__(self, files: PeerFiles, *, within: float = ANSWER) -> None:
        self._files, self._within = files, within
        self._session: aiohttp.ClientSession | None = None
        self._context: ssl.SSLContext | None = None
        self._made_from: tuple[int, ...] = ()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._within))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def answers(self, peer_url: str) -> bool:
        return await self._get(peer_url, "/version") is not None

    async def listed(self, peer_url: str) -> frozenset[int] | None:
        content = await self._get(peer_url, "/members")
        return None if content is None else frozenset(member.id for member in _members.decode(content))

    async def _get(self, peer_url: str, path: str) -> bytes | None:
        if self._session is None or not peer_url:
            return None
        try:
            async with (
                asyncio.timeout(self._within),
                self._session.get(f"{peer_url}{path}", ssl=self._tls()) as response,
            ):
                content = await response.read()
                return content if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):  # ssl.SSLError is an OSError
            return None

    def _tls(self) -> ssl.SSLContext:
        """Made anew when one of the files has been replaced."""
        files = (self._files.certificate, self._files.key, self._files.authority)
        now = tuple(number for file in files for number in (file.stat().st_mtime_ns, file.stat().st_ino))
        if self._context is None or now != self._made_from:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(self._files.authority))
            context.load_cert_chain(self._files.certificate, self._files.key)
            self._context, self._made_from = context, now
        return self._context


async def answering(probe: Probe, members: Iterable[Member], *, own: int) -> frozenset[int]:
    """Ids of the members that answer; ``own`` is counted as one that does. Within 0.4 s."""
    others = [member for member in members if member.id != own]
    found = await asyncio.gather(*(probe.answers(member.peer_url) for member in others))
    return frozenset({own, *(member.id for member, answers in zip(others, found, strict=True) if answers)})


class Health:
    """What ``node ls`` says of the managers, and whether there is a leader to wait for.

    It has no clock of its own: what it knows of the leader comes from the questions that the API's event log asks each
    second (``api/event_log.py``).
    """

    def __init__(
        self, client: EtcdClient, probe: Probe, *, election_ms: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._probe, self._clock = client, probe, clock
        self._patience = max(SHORTEST_PATIENCE, ELECTIONS * election_ms / 1000)
        self._leaderless_since: float | None = None
        self._looked = 0.0
        self._last = Reachability()
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def reachability(self) -> Reachability:
        """By node id, within 0.9 s; never raises. Nobody is reachable, not even this node, while its etcd is silent."""
        async with self._lock:
            if self._clock() >= self._until:
                self._last = await self._ask()
                self._until = self._clock() + FRESH
            return self._last

    async def lacks_leader(self) -> bool:
        """Whether this node's etcd has known of no leader at each look for longer than an election takes, and knows of
        none now. Within 0.25 s; never raises."""
        since = self._leaderless_since
        if since is None or self._clock() - since < self._patience:
            return False
        try:
            await self._look()
        except (EtcdUnavailable, EtcdError):
            return False
        return self._leaderless_since == since

    async def _ask(self) -> Reachability:
        try:
            status = await self._look()
            members = voters(await roster(self._client, linearizable=False, timeout=0.25))
        except (EtcdUnavailable, EtcdError):
            return Reachability()
        alive = await answering(self._probe, members, own=status.header.member_id)
        return Reachability(
            leader=next((member.name for member in members if member.id == status.leader), ""),
            reachable=frozenset(member.name for member in members if member.id in alive and member.name),
        )

    async def _look(self) -> rpc.StatusResponse:
        before, self._looked = self._looked, self._clock()
        if self._looked - before > LOOKS_APART:
            self._leaderless_since = None
        try:
            status = await self._client.status(timeout=STATUS)
        except (EtcdUnavailable, EtcdError):
            self._leaderless_since = None
            raise
        if status.leader:
            self._leaderless_since = None
        elif self._leaderless_since is None:
            self._leaderless_since = self._looked
        return status
