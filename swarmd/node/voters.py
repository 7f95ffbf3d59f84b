"""A voter that a joining manager turns to: another manager, over the cluster port."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from swarmd.errors import NodeUnavailable
from swarmd.member.admission import Added, Standing
from swarmd.node import protocol, remote

Answer = TypeVar("Answer")
JOINING = 12.0
"""Seconds: an addition waits for its turn for up to 10."""


class RemoteVoter:
    """Asks the managers in turn until one answers; the one that has answered is asked first the next time.

    :param addresses: host:port of the managers to ask, this node's own not among them.
    """

    def __init__(self, addresses: Callable[[], Sequence[str]], context: ssl.SSLContext) -> None:
        self._addresses, self._context = addresses, context
        self._last = ""

    async def standing(self, peer_url: str) -> Standing:
        listed = await self._ask(protocol.STANDING, protocol.PeerAsked(peer_url), protocol.Listed)
        return Standing(listed.standing)

    async def add(self, peer_url: str) -> Added:
        added = await self._ask(protocol.ADD, protocol.PeerAsked(peer_url), protocol.Added)
        return Added(added.member_id, tuple(added.initial_cluster))

    async def promote(self, member_id: int, applied_index: int, peer_url: str) -> None:
        await self._ask(protocol.PROMOTE, protocol.Promote(member_id, applied_index, peer_url), protocol.Nothing)

    async def remove(self, peer_url: str) -> None:
        await self._ask(protocol.REMOVE, protocol.PeerAsked(peer_url), protocol.Nothing)

    async def _ask(self, path: str, body: msgspec.Struct, answer: type[Answer]) -> Answer:
        unreachable: list[str] = []
        for address in sorted(self._addresses(), key=lambda one: one != self._last):
            try:
                done = await remote.ask(address, path, body, answer, context=self._context, within=JOINING)
            except remote.Unreachable as error:
                unreachable.append(str(error))
            else:
                self._last = address
                return done
        raise NodeUnavailable(f"no manager answers: {'; '.join(unreachable) or 'none is known'}")
