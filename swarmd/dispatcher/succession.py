"""Which nodes stay Ready while leadership changes hands, so that the new leader can place tasks at once.

Docker calls every node Unknown until its next session, and places nothing meanwhile. Here only those are that are not
seen to be there: a machine that answers a question asked now has its power and its network, and its agent, which
nothing has happened to, comes within a second. The predecessor's node is excepted: something has happened to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass

from swarmd.model import NodeState
from swarmd.store import Snapshot

ARRIVAL = 2.0
"""Seconds in which a node that stayed Ready must have opened its session; agents look for a new leader after 0.4 s."""


async def _nobody(_: Set[str]) -> Set[str]:
    return frozenset()


@dataclass(frozen=True)
class Succession:
    own_id: str = ""
    """The new leader's node, which is there."""
    predecessor: str | None = None
    """Node id of the manager that led before."""
    answering: Callable[[Set[str]], Awaitable[Set[str]]] = _nobody
    """Of these addresses, those whose machines answer now."""

    async def present(self, snapshot: Snapshot) -> set[str]:
        """Ids of the nodes that stay Ready."""
        ready = {
            node_id: liveness.value.address
            for node_id, liveness in snapshot.liveness.items()
            if liveness.value.state is NodeState.READY and node_id in snapshot.nodes and node_id != self.predecessor
        }
        answering = await self.answering({address for node_id, address in ready.items() if node_id != self.own_id})
        return {node_id for node_id, address in ready.items() if node_id == self.own_id or address in answering}
