"""A manager whose quorum is lost: what it tells those who ask, and how it goes on alone. Real etcd and TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nodes import DEADLINE, Nodes, RunningNode, roles

from swarmd.errors import Deposed, NodeUnavailable, NoLeader
from swarmd.etcd import EtcdClient
from swarmd.member import quorum_loss
from swarmd.member.arguments import MemberConfig
from swarmd.model import NodeLiveness, NodeRole, NodeState
from swarmd.node import forced, manager, state
from swarmd.node.etcd import etcd_process, member_config
from swarmd.store import Kind, Put, Snapshot
from swarmd.store.codec import LEADER
from swarmd.store.etcd import EtcdStore

MANAGER, WORKER = NodeRole.MANAGER, NodeRole.WORKER
ALONE = {"one": "manager*", "two": "worker", "three": "worker"}


async def three_managers(nodes: Nodes) -> list[RunningNode]:
    one, two, three = [await nodes.node(name) for name in ("one", "two", "three")]
    await one.init()
    for other in (two, three):
        await other.join(one, MANAGER)
    wanted = dict.fromkeys(ALONE, "manager*")
    await one.until(lambda seen: roles(seen) == wanted, "all are managers")
    return [one, two, three]


async def lose(nodes: Nodes, *lost: RunningNode) -> None:
    """Their machines lose their power. An etcd that is to end in order takes seconds without a quorum."""
    for node in lost:
        assert node.lifecycle.manager is not None
        await node.lifecycle.manager.process.kill()
        await nodes.stop(node)


async def until_leaderless(node: RunningNode) -> None:
    """Asks as the API's event log does."""
    async with asyncio.timeout(DEADLINE):
        while not await node.lifecycle.lacks_leader():
            await node.lifecycle.reachability()
            await asyncio.sleep(0.05)


async def led(node: RunningNode) -> int:
    """Wait until that node leads; the epoch."""
    serving = node.lifecycle.manager
    assert serving is not None
    async with asyncio.timeout(DEADLINE):
        while serving.leader() is None or serving.leader().node_id != node.id:
            await asyncio.sleep(0.02)
    async with EtcdClient(serving.member.socket) as client:
        return (await client.range(LEADER)).kvs[0].mod_revision


# Those who ask


async def test_a_lost_quorum_is_known_and_so_is_that_it_is_there_again(nodes: Nodes):
    one, two, three = await three_managers(nodes)
    await one.lifecycle.reachability()
    assert not await one.lifecycle.lacks_leader()
    await lose(nodes, two, three)
    await until_leaderless(one)
    with pytest.raises(NoLeader):
        await one.lifecycle.store().fresh()
    await nodes.start(three)
    async with asyncio.timeout(DEADLINE):
        while not (await one.lifecycle.reachability()).leader:
            await asyncio.sleep(0.02)
    assert not await one.lifecycle.lacks_leader()
    await one.lifecycle.store().fresh()


async def test_while_another_leader_is_elected_it_is_waited_for(nodes: Nodes):
    one, two, three = await three_managers(nodes)
    await led(one)
    asked: list[bool] = []

    async def ask() -> None:
        while True:
            await two.lifecycle.reachability()
            asked.append(await two.lifecycle.lacks_leader())
            await asyncio.sleep(0.05)

    asking = asyncio.create_task(ask())
    await one.lifecycle.manager.process.kill()
    async with asyncio.timeout(DEADLINE):
        while (await two.lifecycle.reachability()).leader not in {two.id, three.id}:
            await asyncio.sleep(0.02)
    asking.cancel()
    assert asked
    assert not any(asked)


async def test_a_manager_that_comes_back_without_a_quorum_is_not_waited_for_long(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(manager, "STARTING", 1.0)
    one, two = [await nodes.node(name) for name in ("one", "two")]
    await one.init()
    await two.join(one, MANAGER)
    await nodes.stop(one)
    await lose(nodes, two)
    await nodes.start(one)
    assert not await one.lifecycle.lacks_leader(), "its etcd gets the time that a start takes"
    await until_leaderless(one)
    with pytest.raises(NoLeader):
        one.lifecycle.store()
    await nodes.start(two)
    await one.until_serving()
    assert not await one.lifecycle.lacks_leader()


async def test_who_is_no_manager_lacks_no_leader(nodes: Nodes):
    one, two = [await nodes.node(name) for name in ("one", "two")]
    await one.init()
    await two.join(one, WORKER)
    stranger = await nodes.node("stranger")
    await nodes.stop(one)
    assert not await two.lifecycle.lacks_leader()
    assert not await stranger.lifecycle.lacks_leader()


# Going on alone


def member_of(node: RunningNode) -> MemberConfig:
    local = state.load(Path(node.config.state_folder))
    assert local is not None
    return member_config(node.config, node.id, local)


@asynccontextmanager
async def opened(member: MemberConfig) -> AsyncIterator[tuple[EtcdClient, Snapshot]]:
    """What a member has, before any daemon reads it."""
    async with EtcdClient(member.socket) as client:
        store = EtcdStore(client)
        running = asyncio.create_task(store.run())
        async with asyncio.timeout(DEADLINE):
            await store.changed(0)
        yield client, await store.fresh()
        running.cancel()


async def all_lost_but_one(nodes: Nodes) -> RunningNode:
    """``one``, which is off as well."""
    one, two, three = await three_managers(nodes)
    await nodes.stop(one)
    await lose(nodes, two, three)
    return one


async def test_what_is_restored_knows_of_no_leader_and_no_other_manager(nodes: Nodes):
    one = await all_lost_but_one(nodes)
    member = member_of(one)
    process = etcd_process(one.config, member)
    for _ in range(2):  # asked for again, as after a failure in the middle, it is the same
        await forced.go_on_alone(one.config, member, process)
        async with opened(member) as (client, snapshot):
            assert (await client.range(LEADER)).count == 0
            assert roles(snapshot) == ALONE
    await process.stop()


async def test_one_that_was_broken_off_before_it_forgot_the_others_is_asked_for_again(nodes: Nodes):
    one = await all_lost_but_one(nodes)
    member = member_of(one)
    process = etcd_process(one.config, member)
    etcd, etcdutl = Path(one.config.etcd.binary), Path(one.config.etcd.etcdutl)
    await quorum_loss.force_new_cluster(member, process, etcd=etcd, etcdutl=etcdutl)
    await process.stop()
    await nodes.start(one)
    await one.until_serving()
    await one.init(force_new_cluster=True)
    assert roles(one.snapshot()) == ALONE
    await led(one)


async def test_a_failure_to_forget_the_others_is_said_and_asked_for_again(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
):
    one = await all_lost_but_one(nodes)
    member = member_of(one)
    process = etcd_process(one.config, member)
    with monkeypatch.context() as broken:
        broken.setattr(forced, "FORGETTING", 0.0)
        with pytest.raises(NodeUnavailable, match="the cluster could not be made anew"):
            await forced.go_on_alone(one.config, member, process)
    await forced.go_on_alone(one.config, member, process)
    async with opened(member) as (_, snapshot):
        assert roles(snapshot) == ALONE
    await process.stop()


async def test_the_survivor_leads_in_a_later_epoch_and_knows_itself_alone(nodes: Nodes):
    one, two, three = await three_managers(nodes)
    before = await led(one)
    await lose(nodes, two, three)
    await one.init(force_new_cluster=True)
    assert [manager.node_id for manager in one.lifecycle.local().managers] == [one.id]
    assert await led(one) > before + quorum_loss.BUMP
    late = Put(Kind.LIVENESS, one.id, NodeLiveness(NodeState.DOWN, since=datetime(2026, 1, 1, tzinfo=UTC)))
    with pytest.raises(Deposed):
        await one.lifecycle.store().commit([late], epoch=before)
