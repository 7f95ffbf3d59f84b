"""Roles follow wishes: the quorum first where a manager becomes a worker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest

from swarmd.errors import Deposed, FailedPrecondition
from swarmd.model import ManagerMember, Node, NodeRole, NodeSpec
from swarmd.node import roles
from swarmd.store import Kind, Put
from swarmd.store.memory import MemoryStore

NOW = datetime(2026, 11, 24, tzinfo=UTC)
MEMBER = ManagerMember("192.168.56.11:2377", "https://192.168.56.11:2380", 7)


class Quorum:
    def __init__(self) -> None:
        self.removed: list[str] = []
        self.refuses = False

    async def remove(self, node: Node) -> None:
        if self.refuses:
            raise FailedPrecondition("can't remove member from the raft: this would result in a loss of quorum")
        self.removed.append(node.id)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.lead()
    return store


@contextlib.asynccontextmanager
async def running(store: MemoryStore, quorum: Quorum) -> AsyncIterator[None]:
    assert store.epoch is not None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(roles.run(store, store.epoch, remove_member=quorum.remove))
        yield
        task.cancel()


async def wish(store: MemoryStore, role: NodeRole, *, has: NodeRole, member: ManagerMember | None) -> None:
    node = Node("n", NodeSpec(role=role.value), has, NOW, NOW, member)
    await store.commit([Put(Kind.NODE, "n", node)])


async def settled(store: MemoryStore) -> Node:
    snapshot = store.snapshot()
    async with asyncio.timeout(5):
        while snapshot.nodes["n"].value.role != snapshot.nodes["n"].value.spec.role:
            snapshot = await store.changed(snapshot.revision)
    return snapshot.nodes["n"].value


async def test_a_promotion_grants_the_role_and_leaves_joining_to_the_node(store: MemoryStore):
    quorum = Quorum()
    await wish(store, NodeRole.MANAGER, has=NodeRole.WORKER, member=None)
    async with running(store, quorum):
        node = await settled(store)
    assert (node.role, node.manager, quorum.removed) == (NodeRole.MANAGER, None, [])


async def test_a_demotion_takes_the_member_out_first(store: MemoryStore):
    quorum = Quorum()
    await wish(store, NodeRole.WORKER, has=NodeRole.MANAGER, member=MEMBER)
    async with running(store, quorum):
        node = await settled(store)
    assert (node.role, node.manager, quorum.removed) == (NodeRole.WORKER, None, ["n"])


async def test_a_demotion_that_would_lose_the_quorum_is_tried_again(store: MemoryStore, monkeypatch):
    monkeypatch.setattr(roles, "AGAIN", 0.01)
    quorum = Quorum()
    quorum.refuses = True
    await wish(store, NodeRole.WORKER, has=NodeRole.MANAGER, member=MEMBER)
    async with running(store, quorum):
        await asyncio.sleep(0)
        assert store.snapshot().nodes["n"].value.role is NodeRole.MANAGER
        quorum.refuses = False
        node = await settled(store)
    assert (node.role, quorum.removed) == (NodeRole.WORKER, ["n"])


async def test_a_wish_that_comes_later_is_heard(store: MemoryStore):
    quorum = Quorum()
    await wish(store, NodeRole.WORKER, has=NodeRole.WORKER, member=None)
    async with running(store, quorum):
        await asyncio.sleep(0)
        node = store.snapshot().nodes["n"].value
        spec = msgspec.structs.replace(node.spec, role="manager")
        await store.commit([Put(Kind.NODE, "n", msgspec.structs.replace(node, spec=spec))])
        assert (await settled(store)).role is NodeRole.MANAGER


async def test_a_deposed_leader_changes_no_roles(store: MemoryStore):
    epoch = store.epoch
    assert epoch is not None
    store.lead()
    await wish(store, NodeRole.MANAGER, has=NodeRole.WORKER, member=None)
    with pytest.raises(Deposed):
        await roles.run(store, epoch, remove_member=Quorum().remove)
    assert store.snapshot().nodes["n"].value.role is NodeRole.WORKER
