"""Nodes: how they are shown, found, changed and removed."""

from __future__ import annotations

import asyncio

import pytest
from scripted_membership import MANAGER1, MANAGER2, WORKER1

from swarmd.errors import FailedPrecondition
from swarmd.model import NodeState
from swarmd.store import Delete, Kind


async def node(api, name: str) -> dict[str, object]:
    return await api.get(f"/v1.45/nodes/{name}")


async def test_a_manager_is_shown_as_docker_shows_it(swarm):
    shown = await node(swarm, MANAGER1)
    shown["Description"].pop("TLSInfo")
    assert shown == {
        "ID": MANAGER1,
        "Version": {"Index": 2},
        "CreatedAt": "2026-05-01T12:30:00.1234Z",
        "UpdatedAt": "2026-05-01T12:30:00.1234Z",
        "Spec": {"Labels": {}, "Role": "manager", "Availability": "active"},
        "Description": {
            "Hostname": "manager1",
            "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Resources": {"NanoCPUs": 2_000_000_000, "MemoryBytes": 4 << 30},
            "Engine": {
                "EngineVersion": "26.1.5",
                "Labels": {"disk": "ssd"},
                "Plugins": [{"Type": "Network", "Name": "bridge"}],
            },
        },
        "Status": {"State": "ready", "Addr": "192.168.56.10"},
        "ManagerStatus": {"Leader": True, "Reachability": "reachable", "Addr": "192.168.56.10:2377"},
    }


async def test_another_manager_and_a_worker(swarm):
    other = (await node(swarm, "manager2"))["ManagerStatus"]
    assert other == {"Reachability": "unreachable", "Addr": "192.168.56.11:2377"}
    assert "ManagerStatus" not in await node(swarm, "worker1")


async def test_a_node_that_has_said_nothing_is_unknown(swarm):
    await swarm.membership.the_store.commit([Delete(Kind.LIVENESS, WORKER1)])
    shown = await node(swarm, WORKER1)
    assert shown["Status"] == {"State": "unknown"}
    assert shown["Description"] == {"Platform": {}, "Resources": {}, "Engine": {}, "TLSInfo": {}}


async def test_lists_are_filtered(swarm):
    async def names(filters) -> list[str]:
        return [shown["Description"]["Hostname"] for shown in await swarm.get("/nodes", filters)]

    assert await names({}) == ["manager1", "manager2", "worker1"]
    assert await names({"name": ["manager"]}) == ["manager1", "manager2"]
    assert await names({"role": ["worker"]}) == ["worker1"]
    assert await names({"id": {"3work": True}}) == ["worker1"]
    assert await names({"node.label": ["zone=a"]}) == ["worker1"]
    assert await names({"label": ["zone=a"]}) == []
    assert await names({"label": ["disk=ssd"], "membership": ["accepted"]}) == ["manager1", "manager2", "worker1"]
    assert await names({"membership": ["pending"]}) == []
    for filters, words in (
        ('{"role": ["king"]}', "Invalid role filter: 'king'"),
        ('{"colour": ["red"]}', "invalid filter 'colour'"),
    ):
        assert await swarm.refused("GET", "/nodes", params={"filters": filters}) == (400, words)


async def test_an_unknown_node(swarm):
    assert await swarm.refused("GET", "/nodes/nobody") == (404, "node nobody not found")


async def test_labels_and_availability_are_changed(swarm):
    version = (await node(swarm, "worker1"))["Version"]["Index"]
    spec = {"Role": "worker", "Availability": "drain", "Labels": {"a": "b"}}
    assert await swarm.call("POST", f"/nodes/worker1/update?version={version}", spec) == (200, "")
    assert (await node(swarm, "worker1"))["Spec"] == {
        "Labels": {"a": "b"},
        "Role": "worker",
        "Availability": "drain",
    }
    words = "rpc error: code = Unknown desc = update out of sequence"
    assert await swarm.refused("POST", f"/nodes/worker1/update?version={version}", spec) == (500, words)


async def test_promotion_and_demotion_are_wishes_in_the_spec(swarm):
    version = (await node(swarm, "worker1"))["Version"]["Index"]
    spec = {"Role": "manager", "Availability": "active"}
    await swarm.call("POST", f"/nodes/worker1/update?version={version}", spec)
    assert (await node(swarm, "worker1"))["Spec"]["Role"] == "manager"
    assert swarm.membership.calls == []


async def test_a_demotion_is_checked_first(swarm):
    words = "can't remove member from the raft: this would result in a loss of quorum"
    swarm.membership.refuse_demotion = FailedPrecondition(words)
    version = (await node(swarm, "manager2"))["Version"]["Index"]
    spec = {"Role": "worker", "Availability": "active"}
    refusal = await swarm.refused("POST", f"/nodes/manager2/update?version={version}", spec)
    assert refusal == (400, f"rpc error: code = FailedPrecondition desc = {words}")
    assert (await node(swarm, "manager2"))["Spec"]["Role"] == "manager"
    swarm.membership.refuse_demotion = None
    assert await swarm.call("POST", f"/nodes/manager2/update?version={version}", spec) == (200, "")
    assert swarm.membership.calls == [("check_demotion", MANAGER2)] * 2


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"Availability": "active"}, 'invalid Role: ""'),
        ({"Role": "king", "Availability": "active"}, 'invalid Role: "king"'),
        ({"Role": "worker"}, 'invalid Availability: ""'),
        ({"Role": "worker", "Availability": "never"}, 'invalid Availability: "never"'),
        ([], "invalid JSON: json: cannot unmarshal array into Go value of type swarm.NodeSpec"),
    ],
)
async def test_an_incomplete_spec_is_refused(swarm, spec, words):
    status, message = await swarm.refused("POST", "/nodes/worker1/update?version=4", spec)
    assert status == 400
    assert message.startswith(words)
    assert (await node(swarm, "worker1"))["Spec"]["Role"] == "worker"


async def test_a_ready_worker_is_removed_by_force_only(swarm):
    words = f"rpc error: code = FailedPrecondition desc = node {WORKER1} is not down and can't be removed"
    assert await swarm.refused("DELETE", "/nodes/worker1") == (400, words)
    assert await swarm.refused("DELETE", "/nodes/worker1?force=0") == (400, words)
    assert await swarm.call("DELETE", "/nodes/worker1?force=1") == (200, "")
    assert swarm.membership.calls == [("expel", WORKER1)]
    assert WORKER1 in swarm.membership.the_store.snapshot().cluster.value.barred
    assert await swarm.refused("GET", "/nodes/worker1") == (404, "node worker1 not found")
    assert WORKER1 not in swarm.membership.the_store.snapshot().liveness


async def test_nodes_are_removed_at_once_beside_one_another(swarm):
    other = "4worker2".ljust(25, "0")
    await swarm.membership.add(other, "worker2")
    swarm.membership.the_store.meeting = asyncio.Barrier(2)
    calls = (swarm.call("DELETE", f"/nodes/{name}?force=1") for name in ("worker1", "worker2"))
    assert await asyncio.gather(*calls) == [(200, ""), (200, "")]
    assert set(swarm.membership.the_store.snapshot().cluster.value.barred) == {WORKER1, other}


async def test_a_worker_that_is_down_is_removed(swarm):
    await swarm.membership.add(WORKER1, "worker1", state=NodeState.DOWN)
    assert await swarm.call("DELETE", f"/nodes/{WORKER1}") == (200, "")


async def test_a_demoted_manager_is_not_removed_while_it_takes_part_in_the_quorum(swarm):
    version = (await node(swarm, "manager2"))["Version"]["Index"]
    spec = {"Role": "worker", "Availability": "active"}
    assert await swarm.call("POST", f"/nodes/manager2/update?version={version}", spec) == (200, "")
    status, message = await swarm.refused("DELETE", "/nodes/manager2?force=true")
    assert (status, "It must be demoted to worker before removal" in message) == (400, True)


async def test_a_manager_is_not_removed_even_by_force(swarm):
    status, message = await swarm.refused("DELETE", "/nodes/manager2?force=true")
    assert status == 400
    assert message == (
        f"rpc error: code = FailedPrecondition desc = node {MANAGER2} is a cluster manager and is a member of the raft "
        "cluster. It must be demoted to worker before removal"
    )
