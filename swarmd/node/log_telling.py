"""Having nodes told, through the leader, that they are to bring logs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from swarmd import wire
from swarmd.errors import Internal, SwarmError
from swarmd.node import protocol
from swarmd.node.log_delivery import Delivery
from swarmd.portions import portions

PATIENCE = 5.0
"""Seconds for a node to be told, and again for it to come: a change of leader is over by then."""
ASK_AGAIN = 0.2
"""Seconds between two attempts."""
MOST_ASKED = 20_000
"""Tasks in one request to the leader, which may have 1 MiB."""

AskLeader = Callable[[protocol.LogsAsked], Awaitable[protocol.LogsUntold]]
"""Raises a ``SwarmError`` or an ``Internal`` where nobody leads, or the leader does not answer."""


async def have_told(deliveries: Sequence[Delivery], here: wire.Manager, ask_leader: AskLeader) -> None:
    """Ends those whose node has no session for too long.

    :param here: where nodes are to come.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + PATIENCE
    while True:
        untold: set[str] = set()
        for some in portions(deliveries, lambda one: len(one.tasks), largest=MOST_ASKED):
            asked = protocol.LogsAsked([_of_node(delivery, here) for delivery in some])
            try:
                untold |= set((await ask_leader(asked)).deliveries)
            except (SwarmError, Internal):
                untold |= {delivery.id for delivery in some}
        # The node may have come although the answer was lost.
        deliveries = [one for one in deliveries if one.id in untold and not one.is_claimed and not one.is_over]
        if not deliveries:
            return
        if loop.time() > give_up:
            break
        await asyncio.sleep(ASK_AGAIN)
    for delivery in deliveries:
        delivery.end(f"node {delivery.node_id} is not available")


async def have_come(deliveries: Sequence[Delivery]) -> None:
    """Ends those whose node does not come in time."""
    try:
        async with asyncio.timeout(PATIENCE):
            for delivery in deliveries:
                await delivery.come()
    except TimeoutError:
        for delivery in deliveries:
            if not delivery.is_claimed:
                delivery.break_off()


def _of_node(delivery: Delivery, here: wire.Manager) -> protocol.LogsOfNode:
    wanted = wire.LogsWanted(delivery.id, here, list(delivery.tasks), delivery.options)
    return protocol.LogsOfNode(delivery.node_id, wanted)
