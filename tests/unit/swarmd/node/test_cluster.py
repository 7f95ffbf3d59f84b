"""A cluster's life: nodes come, change their roles, go, and come back. Real etcd and TLS; the engine is a double."""

from __future__ import annotations

import asyncio

import pytest
from nodes import Nodes, roles, states
from wishes import wish

from swarmd.errors import (
    AlreadyInSwarm,
    DaemonError,
    FailedPrecondition,
    InvalidArgument,
    NodeUnavailable,
    NotInSwarm,
    NotManager,
)
from swarmd.member.disk import has_log
from swarmd.membership import LocalState
from swarmd.model import NodeRole, NodeState
from swarmd.node.authority import FILE as AUTHORITY
from swarmd.node.etcd import member_config

MANAGER, WORKER = NodeRole.MANAGER, NodeRole.WORKER


async def test_a_node_makes_a_cluster_and_takes_part_in_it(nodes: Nodes):
    one = await nodes.node("one")
    assert one.lifecycle.local().state is LocalState.INACTIVE
    with pytest.raises(NotInSwarm):
        one.lifecycle.store()
    node_id = await one.init()
    assert one.lifecycle.local().node_id == node_id
    snapshot = await one.until(lambda seen: states(seen) == {"one": NodeState.READY}, "it is ready itself")
    assert roles(snapshot) == {"one": "manager*"}
    with pytest.raises(AlreadyInSwarm):
        await one.init()
    with pytest.raises(AlreadyInSwarm):
        await one.join(one, WORKER)


async def test_the_token_decides_the_role(nodes: Nodes):
    one, two, three = [await nodes.node(name) for name in ("one", "two", "three")]
    await one.init()
    await two.join(one, MANAGER)
    await three.join(one, WORKER)
    wanted = {"one": "manager*", "two": "manager*", "three": "worker"}
    for manager in (one, two):
        await manager.until(lambda seen: roles(seen) == wanted, "all have their roles")
    with pytest.raises(NotManager):
        three.lifecycle.store()
    assert len((await one.lifecycle.reachability()).reachable) == 2


async def test_tokens_of_others_and_of_yesterday(nodes: Nodes):
    one, stranger, two = [await nodes.node(name) for name in ("one", "stranger", "two")]
    await one.init()
    await stranger.init()
    cluster, other = one.snapshot().cluster, stranger.snapshot().cluster
    assert cluster is not None
    assert other is not None
    with pytest.raises(DaemonError, match="remote CA does not match fingerprint"):
        await two.join(one, WORKER, token=other.value.worker_token)
    with pytest.raises(DaemonError, match="invalid join token"):
        await two.join(one, WORKER, token="SWMTKN-1-nonsense")  # noqa: S106
    yesterday = cluster.value.worker_token
    await one.lifecycle.rotate_token(worker=True, manager=False)
    with pytest.raises(InvalidArgument, match="A valid join token is necessary"):
        await two.join(one, WORKER, token=yesterday)
    assert two.lifecycle.local().state is LocalState.INACTIVE
    await two.join(one, WORKER)
    assert one.snapshot().cluster.value.manager_token == cluster.value.manager_token


async def test_promotion_and_demotion(nodes: Nodes):
    one, two, three = [await nodes.node(name) for name in ("one", "two", "three")]
    await one.init()
    for node in (two, three):
        await node.join(one, WORKER)
    await wish(one, two, role="manager")
    await wish(one, three, role="manager")
    all_managers = {"one": "manager*", "two": "manager*", "three": "manager*"}
    await one.until(lambda seen: roles(seen) == all_managers, "all are managers")

    await wish(two, one, role="worker")  # the leader
    snapshot = await two.until(lambda seen: roles(seen) == {**all_managers, "one": "worker"}, "one is a worker")
    await two.until(lambda seen: states(seen)["one"] is NodeState.READY, "one is still there")
    await one.until_worker()
    assert not (one.folder / "s" / AUTHORITY).exists()
    log = member_config(one.config, one.id, one.lifecycle.current.local).data
    async with asyncio.timeout(10):
        while has_log(log):  # it goes once its etcd has ended
            await asyncio.sleep(0.02)
    assert snapshot.nodes[one.id].value.manager is None

    await wish(two, one, role="manager")
    await three.until(lambda seen: roles(seen) == all_managers, "one is a manager again")


async def test_the_last_manager_is_not_demoted(nodes: Nodes):
    one, two = [await nodes.node(name) for name in ("one", "two")]
    await one.init()
    await two.join(one, WORKER)
    with pytest.raises(FailedPrecondition, match="attempting to demote the last manager of the swarm"):
        await one.lifecycle.check_demotion(one.id)


async def test_with_one_of_two_managers_gone_the_other_is_not_demoted(nodes: Nodes):
    one, two = [await nodes.node(name) for name in ("one", "two")]
    await one.init()
    await two.join(one, MANAGER)
    await nodes.stop(two)
    with pytest.raises(FailedPrecondition, match="this would result in a loss of quorum"):
        await one.lifecycle.check_demotion(two.id)


async def test_a_manager_that_begins_again_keeps_what_its_cluster_has_become(nodes: Nodes):
    one = await nodes.node("one")
    await one.init()
    await one.lifecycle.rotate_token(worker=True, manager=True)
    before = one.snapshot().cluster
    await one.begin_managing_again()
    cluster = (await one.lifecycle.store().fresh()).cluster
    assert before is not None
    assert cluster is not None
    assert cluster.value == before.value


async def test_an_init_that_is_broken_off_leaves_nothing(nodes: Nodes):
    one = await nodes.node("one")
    making = asyncio.ensure_future(one.init())
    await one.until_etcd_runs()
    making.cancel()
    await asyncio.wait([making])
    await nodes.stop(one)
    await nodes.start(one)
    assert one.lifecycle.local().state is LocalState.INACTIVE
    await one.init()


async def test_leaving(nodes: Nodes):
    one, two, three = [await nodes.node(name) for name in ("one", "two", "three")]
    await one.init()
    await two.join(one, MANAGER)
    await three.join(one, WORKER)
    with pytest.raises(NodeUnavailable, match=r"leaves 1 managers out of 2\. Without a Raft quorum"):
        await two.lifecycle.leave(force=False)
    await three.lifecycle.leave(force=False)
    await two.lifecycle.leave(force=True)
    await one.until(
        lambda seen: states(seen) == {"one": NodeState.READY, "two": NodeState.DOWN, "three": NodeState.DOWN},
        "those who left are down",
    )
    with pytest.raises(NodeUnavailable, match="Removing the last manager erases all current state"):
        await one.lifecycle.leave(force=False)
    await one.lifecycle.leave(force=True)
    for node in (one, two, three):
        assert node.lifecycle.local().state is LocalState.INACTIVE
        assert [path.name for path in (node.folder / "s").iterdir() if path.is_file()] == []
    await three.init()
    await one.join(three, MANAGER)


async def test_nodes_find_each_other_again_after_all_were_off(nodes: Nodes):
    one, two, three = [await nodes.node(name) for name in ("one", "two", "three")]
    await one.init()
    await two.join(one, MANAGER)
    await three.join(one, MANAGER)
    for node in (one, two, three):
        await nodes.stop(node)
    for node in (three, one, two):
        await nodes.start(node)
    await one.until_serving()
    await one.until(lambda seen: set(states(seen).values()) == {NodeState.READY}, "all are ready")


async def test_a_removed_node_is_shut_out_and_may_come_back_as_a_new_one(nodes: Nodes):
    one, two = [await nodes.node(name) for name in ("one", "two")]
    await one.init()
    await two.join(one, WORKER)
    old = two.id
    await one.remove(old)
    await two.until_refused()
    await two.lifecycle.leave(force=True)
    await two.join(one, WORKER)
    assert two.id != old
    await one.until(lambda seen: set(seen.nodes) == {one.id, two.id}, "only the new node is there")


async def test_one_goes_on_alone_when_the_others_are_gone_for_good(nodes: Nodes):
    one, two, three = [await nodes.node(name) for name in ("one", "two", "three")]
    await one.init()
    await two.join(one, MANAGER)
    await three.join(one, MANAGER)
    cluster = one.snapshot().cluster
    assert cluster is not None
    await nodes.stop(two)
    await nodes.stop(three)
    await one.init(force_new_cluster=True)
    snapshot = await one.until(
        lambda seen: roles(seen) == {"one": "manager*", "two": "worker", "three": "worker"}, "it is the only manager"
    )
    assert snapshot.cluster.value.id == cluster.value.id
    await nodes.start(two)
    await one.until(lambda seen: states(seen)["two"] is NodeState.READY, "one that comes back is a worker")
    await two.until_worker()
