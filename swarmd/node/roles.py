"""The leader's care for roles: each node gets the one that its spec wants, and the quorum follows.

A promotion only grants the role: the node hears of it in its session, fetches a manager's certificate and joins etcd by
itself. A demotion takes the member out of etcd first, so that a node never votes with a worker's certificate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NoReturn

import msgspec
import structlog

from swarmd.errors import Lost, SwarmError
from swarmd.model import Node, NodeRole
from swarmd.store import Entry, Kind, Put, Snapshot, Store, Unchanged

log = structlog.get_logger()

AGAIN = 5.0
"""Seconds until a change that was refused is tried again, as swarmkit's roleReconcileInterval."""


async def run(store: Store, epoch: int, *, remove_member: Callable[[Node], Awaitable[None]]) -> NoReturn:
    """
    :param remove_member: takes the node out of etcd; nothing where it is not in it. Refuses with a SwarmError.
    :raises swarmd.errors.Deposed: another leads now.
    """
    snapshot = store.snapshot()
    while True:
        settled = True
        for entry in _unsettled(snapshot):
            try:
                await _settle(store, epoch, entry, remove_member)
            except (SwarmError, Lost) as error:
                settled = False
                log.warning("a node does not have its role yet", node=entry.value.id, why=str(error))
        snapshot = await _newer(store, snapshot.revision, within=None if settled else AGAIN)


def _unsettled(snapshot: Snapshot) -> list[Entry[Node]]:
    return [entry for entry in snapshot.nodes.values() if entry.value.spec.role != entry.value.role.value]


async def _settle(
    store: Store, epoch: int, entry: Entry[Node], remove_member: Callable[[Node], Awaitable[None]]
) -> None:
    node = entry.value
    role = NodeRole(node.spec.role)
    if role is NodeRole.WORKER:
        await remove_member(node)
    changed = msgspec.structs.replace(
        node, role=role, manager=node.manager if role is NodeRole.MANAGER else None, updated_at=datetime.now(UTC)
    )
    await store.commit(
        [Put(Kind.NODE, node.id, changed)], guards=[Unchanged(Kind.NODE, node.id, entry.version)], epoch=epoch
    )
    log.info("a node has a new role", node=node.id, role=role.value)


async def _newer(store: Store, since: int, *, within: float | None) -> Snapshot:
    try:
        async with asyncio.timeout(within):
            return await store.changed(since)
    except TimeoutError:
        return store.snapshot()
