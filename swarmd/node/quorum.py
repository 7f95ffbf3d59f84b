"""Changes of who votes, as this manager makes them: for itself when it leaves, for others when it leads."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from swarmd.errors import Lost, NodeUnavailable, PermissionDenied
from swarmd.etcd import EtcdClient
from swarmd.identity.credentials import Credentials
from swarmd.member import removal
from swarmd.member.health import PeerProbe
from swarmd.member.roster import Member
from swarmd.model import ManagerMember, Node
from swarmd.node import protocol, remote
from swarmd.store import Kind, Put, Store, Unchanged

WITHDRAWN = 0
"""Stands as the member id of a manager that has left etcd's cluster; etcd gives no member this id."""

HAND_OVER = 2.0
"""Seconds for another manager to give its leadership away."""


def votes(node: Node) -> bool:
    return node.manager is not None and node.manager.member_id != WITHDRAWN


@dataclass(frozen=True)
class Quorum:
    client: EtcdClient
    probe: PeerProbe
    store: Store
    credentials: Credentials
    address: str
    """host:port of this node's cluster port, as others reach it."""
    peer_url: str

    async def enlist(self) -> None:
        """Have this manager's addresses and its member in its node's entry, as they are now."""
        await self._enlist((await self.client.status(timeout=1.0)).header.member_id)

    async def withdraw(self) -> None:
        """Leave etcd's cluster, if that takes nobody else's quorum away. The node stays listed, as one that has left.

        :raises swarmd.errors.SwarmError: the quorum needs it, or is lost.
        """
        member_id = (await self.client.status()).header.member_id
        await removal.check_removal(self.client, self.probe, member_id)
        await self._enlist(WITHDRAWN)  # afterwards this node's etcd takes no writes
        await removal.remove(self.client, self.probe, member_id)

    async def check_demotion(self, node: Node) -> None:
        """
        :raises swarmd.errors.FailedPrecondition: it is the last manager, or the quorum would be lost.
        """
        if node.manager is not None:
            await removal.check_removal(self.client, self.probe, node.manager.member_id)

    async def remove(self, node: Node) -> None:
        """Take a node that is to be a worker out of etcd; nothing where it is not in it.

        :raises swarmd.errors.SwarmError: it cannot be done, or not by this manager.
        """
        if node.manager is None:
            return
        if node.id == self.credentials.node_id:
            await self.hand_over()
            raise NodeUnavailable("this manager hands leadership over first; the next leader removes it")
        await removal.remove(self.client, self.probe, node.manager.member_id, ask_to_hand_over=self._ask_to_hand_over)

    async def hand_over(self) -> None:
        """Give etcd's leadership away, if this manager's has it."""
        await removal.hand_over(self.client, self.probe)

    async def _ask_to_hand_over(self, member: Member) -> None:
        entry = self.store.snapshot().nodes.get(member.name)
        if entry is not None and entry.value.manager is not None:
            context = self.credentials.client_context()
            nothing = protocol.Nothing()
            address = entry.value.manager.address
            await remote.ask(address, protocol.HAND_OVER, nothing, protocol.Nothing, context=context, within=HAND_OVER)

    async def _enlist(self, member_id: int) -> None:
        member = ManagerMember(self.address, self.peer_url, member_id)
        while True:
            entry = (await self.store.fresh()).nodes.get(self.credentials.node_id)
            if entry is None:
                raise PermissionDenied("Permission denied: this node has been removed from the cluster")
            if entry.value.manager == member:
                return
            changed = msgspec.structs.replace(entry.value, manager=member, updated_at=datetime.now(UTC))
            with contextlib.suppress(Lost):
                await self.store.commit(
                    [Put(Kind.NODE, entry.value.id, changed)],
                    guards=[Unchanged(Kind.NODE, entry.value.id, entry.version)],
                )
