"""Logs that users ask this manager for, and the nodes that bring them here. What flows does so without the leader."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from aiohttp import web

from swarmd import wire
from swarmd.agent.logs import keep_alive
from swarmd.errors import NotFound
from swarmd.membership import LogPiece, LogSelector
from swarmd.node.log_delivery import Delivery
from swarmd.node.log_subscription import Subscription
from swarmd.node.log_telling import AskLeader, have_told
from swarmd.store import Store


class LogBroker:
    def __init__(self, store: Store, here: wire.Manager, ask_leader: AskLeader) -> None:
        """
        :param here: where nodes are to bring logs.
        """
        self._store, self._here, self._ask_leader = store, here, ask_leader
        self._awaited: dict[str, Delivery] = {}
        self._subscriptions: set[Subscription] = set()

    async def logs(self, selector: LogSelector, options: wire.LogOptions) -> AsyncGenerator[list[LogPiece], None]:
        """
        :raises swarmd.errors.IncompleteLogs: at the end.
        """
        subscription = Subscription(selector, options, self._store, self._awaited, self._tell)
        self._subscriptions.add(subscription)
        try:
            async with aclosing(subscription.pieces()) as pieces:
                async for some in pieces:
                    yield some
        finally:
            self._subscriptions.discard(subscription)

    async def _tell(self, deliveries: Sequence[Delivery]) -> None:
        await have_told(deliveries, self._here, self._ask_leader)

    async def take(self, request: web.Request, node_id: str) -> web.WebSocketResponse:
        """Attend a node that has come with what it was asked for, until it has brought all of it.

        :raises NotFound: it was not asked for that, or not any more, or has come already.
        """
        delivery = self._claimed(request.match_info["delivery"], node_id)
        socket = web.WebSocketResponse(max_msg_size=wire.LARGEST_MESSAGE)
        try:
            await socket.prepare(request)
            if request.transport is not None:
                keep_alive(request.transport.get_extra_info("socket"))
            await delivery.attend(socket)
        finally:
            delivery.break_off()
        return socket

    def _claimed(self, delivery_id: str, node_id: str) -> Delivery:
        delivery = self._awaited.get(delivery_id)
        if delivery is None or delivery.node_id != node_id or delivery.is_claimed or delivery.is_over:
            raise NotFound(f"nobody waits for logs of node {node_id} by the id {delivery_id}")
        delivery.claim()
        return delivery

    def close(self) -> None:
        """This manager does not take part any more: whoever reads is told so."""
        for subscription in self._subscriptions:
            subscription.give_up("the manager that brings them together has stopped")
