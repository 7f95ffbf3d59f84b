"""The swarm itself: formed, entered, left, changed; and what a node says that is in none, or has lost the others."""

from __future__ import annotations

import asyncio

import pytest
from scripted_membership import MANAGER1, ROOT

from swarmd.api import quorum
from swarmd.errors import InvalidArgument, NodeUnavailable, Unauthenticated
from swarmd.membership import InitRequest, JoinRequest, LocalNode, LocalState

NO_LEADER = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. "
    "It's possible that too few managers are online. Make sure more than half of the managers are online."
)
INIT = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "192.168.56.10"}


async def test_init_answers_the_nodes_id(api):
    assert await api.call("POST", "/v1.45/swarm/init", INIT) == (200, MANAGER1)
    assert api.membership.calls == [InitRequest(advertise_address="192.168.56.10")]


async def test_init_takes_defaults_for_what_is_zero(api):
    spec = {"Orchestration": {"TaskHistoryRetentionLimit": 0}, "Raft": {"SnapshotInterval": 0}, "Dispatcher": {}}
    sent = INIT | {"Spec": spec, "ListenAddr": "192.168.56.10", "DefaultAddrPool": None, "Availability": "drain"}
    await api.call("POST", "/swarm/init", sent)
    (request,) = api.membership.calls
    assert request.listen_address == "192.168.56.10:2377"
    assert request.availability == "drain"
    assert request.spec.orchestration.task_history_retention_limit == 0
    assert request.spec.raft.snapshot_interval == 10_000
    assert request.spec.dispatcher.heartbeat_period == 5_000_000_000


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"ListenAddr": ""}, 400, 'invalid ListenAddr "": invalid empty address'),
        ({"Spec": {"Name": "mine"}}, 400, 'swarm spec must be named "default"'),
        ({"Spec": {"CAConfig": {"NodeCertExpiry": 60}}}, 400, "minimum certificate expiry time is: 1h0m0s"),
        ({"Spec": {"Dispatcher": {"HeartbeatPeriod": -1}}}, 400, "heartbeat time period cannot be a negative duration"),
        ({"DataPathPort": 80}, 400, "Datapath port number is not in valid range (1024-49151) : 80"),
        ({"DefaultAddrPool": ["10.0.0.0/33"]}, 400, "invalid base pool 10.0.0.0/33"),
        ({"DefaultAddrPool": ["10.0.0.0/8"], "SubnetSize": 30}, 400, "subnet size is out of range: 30"),
        ({"Availability": "maybe"}, 400, 'invalid Availability: "maybe"'),
        ({"AutoLockManagers": True}, 501, "AutoLockManagers is not implemented by swarmd yet"),
        ({"Spec": {"EncryptionConfig": {"AutoLockManagers": True}}}, 501, "EncryptionConfig.AutoLockManagers"),
        ({"Spec": {"CAConfig": {"ExternalCAs": [{"URL": "x"}]}}}, 501, "Spec.CAConfig.ExternalCAs"),
    ],
)
async def test_init_refuses(api, change, status, words):
    got, message = await api.refused("POST", "/swarm/init", INIT | change)
    assert words in message
    assert got == status
    assert api.membership.calls == []


async def test_join_asks_all_addresses(api):
    sent = INIT | {"RemoteAddrs": ["192.168.56.10", "[fd00::1]:2377"], "JoinToken": "SWMTKN-1-a-b"}
    assert await api.call("POST", "/swarm/join", sent) == (200, "")
    (request,) = api.membership.calls
    assert request == JoinRequest(
        ("192.168.56.10:2377", "[fd00::1]:2377"), "SWMTKN-1-a-b", advertise_address="192.168.56.10"
    )
    assert await api.refused("POST", "/swarm/join", INIT) == (400, "at least 1 RemoteAddr is required to join")


async def test_what_the_membership_refuses_is_told_in_its_words(swarm):
    status, message = await swarm.refused("POST", "/swarm/init", INIT)
    assert status == 503
    assert message.startswith("This node is already part of a swarm.")
    swarm.membership.refuse_leave = NodeUnavailable("You are attempting to leave the swarm on a node that …")
    assert (await swarm.refused("POST", "/swarm/leave"))[1].startswith("You are attempting to leave")
    assert await swarm.call("POST", "/swarm/leave?force=1") == (200, "")
    assert await swarm.refused("POST", "/swarm/leave") == (503, "This node is not part of a swarm")


async def test_the_swarm_is_shown_as_docker_shows_it(swarm):
    shown = await swarm.get("/swarm")
    tls = shown.pop("TLSInfo")
    assert tls["TrustRoot"] == ROOT
    assert set(tls) == {"TrustRoot", "CertIssuerSubject", "CertIssuerPublicKey"}
    assert shown == {
        "ID": "c".ljust(25, "0"),
        "Version": {"Index": 1},
        "CreatedAt": "2026-05-01T12:30:00.1234Z",
        "UpdatedAt": "2026-05-01T12:30:00.1234Z",
        "Spec": {
            "Name": "default",
            "Labels": {},
            "Orchestration": {"TaskHistoryRetentionLimit": 5},
            "Raft": {
                "SnapshotInterval": 10000,
                "KeepOldSnapshots": 0,
                "LogEntriesForSlowFollowers": 500,
                "ElectionTick": 10,
                "HeartbeatTick": 1,
            },
            "Dispatcher": {"HeartbeatPeriod": 5_000_000_000},
            "CAConfig": {"NodeCertExpiry": 7_776_000_000_000_000},
            "TaskDefaults": {},
            "EncryptionConfig": {"AutoLockManagers": False},
        },
        "RootRotationInProgress": False,
        "DefaultAddrPool": ["10.0.0.0/8"],
        "SubnetSize": 24,
        "DataPathPort": 4789,
        "JoinTokens": {
            "Worker": "SWMTKN-1-" + "a" * 50 + "-worker",
            "Manager": "SWMTKN-1-" + "a" * 50 + "-manager",
        },
    }


async def test_the_spec_that_is_shown_can_be_sent_back(swarm):
    shown = await swarm.get("/swarm")
    spec = shown["Spec"] | {"Orchestration": {"TaskHistoryRetentionLimit": 2}}
    version = shown["Version"]["Index"]
    assert await swarm.call("POST", f"/swarm/update?version={version}", spec) == (200, "")
    again = await swarm.get("/swarm")
    assert again["Spec"] == spec
    words = "rpc error: code = Unknown desc = update out of sequence"
    assert await swarm.refused("POST", f"/swarm/update?version={version}", spec) == (500, words)


async def test_tokens_are_rotated_one_by_one(swarm):
    async def rotate(flag: str) -> dict[str, str]:
        shown = await swarm.get("/swarm")
        url = f"/swarm/update?version={shown['Version']['Index']}&{flag}"
        assert await swarm.call("POST", url, shown["Spec"]) == (200, "")
        return (await swarm.get("/swarm"))["JoinTokens"]

    tokens = await rotate("rotateWorkerToken=true&rotateManagerToken=false")
    assert tokens["Worker"].endswith("-worker2")
    assert tokens["Manager"].endswith("-manager")
    tokens = await rotate("rotateManagerToken=1")
    assert tokens["Manager"].endswith("-manager2")
    assert swarm.membership.calls == [("rotate", True, False), ("rotate", False, True)]
    refusal = await swarm.refused("POST", "/swarm/update?version=1&rotateWorkerToken=maybe", {})
    assert refusal == (400, "invalid value for rotateWorkerToken: maybe")
    assert len(swarm.membership.calls) == 2


async def test_rotating_the_ca_is_not_there_yet(swarm):
    status, message = await swarm.refused("POST", "/swarm/update?version=1", {"CAConfig": {"ForceRotate": 1}})
    assert (status, message[:20]) == (501, "CAConfig.ForceRotate")


async def test_nothing_is_locked(swarm):
    assert await swarm.get("/swarm/unlockkey") == {"UnlockKey": ""}
    assert await swarm.refused("POST", "/swarm/unlock", {"UnlockKey": "x"}) == (409, "swarm is not locked")


@pytest.mark.parametrize("path", ["/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs", "/nodes/x"])
async def test_a_node_outside_and_a_worker_manage_nothing(api, path):
    status, message = await api.refused("GET", path)
    assert (status, message[:38]) == (503, "This node is not a swarm manager. Use ")
    api.membership.now = LocalNode(LocalState.ACTIVE, "w", is_manager=False)
    status, message = await api.refused("GET", path)
    assert (status, message[:47]) == (503, "This node is not a swarm manager. Worker nodes ")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/swarm", None),
        ("GET", "/nodes", None),
        ("GET", "/services", None),
        ("GET", "/tasks", None),
        ("GET", "/nodes/worker1", None),
        ("POST", "/services/create", {"TaskTemplate": {"ContainerSpec": {"Image": "a"}}}),
        ("POST", "/swarm/update?version=1", {}),
        ("DELETE", "/nodes/worker1", None),
    ],
)
async def test_a_lost_quorum_is_told_in_dockers_words(swarm, method, path, body):
    swarm.membership.the_store.lost = True
    assert await swarm.refused(method, path, body) == (500, NO_LEADER)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (InvalidArgument("A valid join token is necessary"), 400, "rpc error: code = InvalidArgument desc = A valid"),
        (Unauthenticated("who are you"), 401, "rpc error: code = Unauthenticated desc = who are you"),
        (RuntimeError("boom"), 500, "internal error in swarmd: RuntimeError: boom"),
    ],
)
async def test_any_error_is_an_answer_and_the_daemon_lives(swarm, error, status, words):
    swarm.membership.refuse_leave = error
    got, message = await swarm.refused("POST", "/swarm/leave")
    assert (got, message[: len(words)]) == (status, words)
    assert (await swarm.get("/swarm"))["ID"]


async def test_secrets_are_an_empty_list_and_no_more(swarm):
    assert await swarm.get("/secrets", {"name": ["a"]}) == []
    status, message = await swarm.refused("POST", "/secrets/create", {"Name": "a", "Data": "eA=="})
    assert (status, message) == (501, "docker secret is not implemented by swarmd yet; it comes with a later version")


async def test_of_concurrent_updates_with_one_version_exactly_one_wins(swarm):
    shown = await swarm.get("/swarm")
    url = f"/swarm/update?version={shown['Version']['Index']}"
    swarm.membership.the_store.meeting = asyncio.Barrier(10)
    answers = await asyncio.gather(*(swarm.call("POST", url, shown["Spec"]) for _ in range(10)))
    assert sorted(status for status, _ in answers) == [200] + [500] * 9


async def test_a_store_that_is_silent_counts_as_a_lost_quorum(swarm, monkeypatch):
    monkeypatch.setattr(quorum, "DEADLINE", 0.05)
    swarm.membership.the_store.silent = True
    assert await swarm.refused("GET", "/nodes") == (500, NO_LEADER)
    assert await swarm.refused("DELETE", "/nodes/worker1") == (500, NO_LEADER)
    assert (await swarm.get("/info"))["Swarm"]["Error"] == NO_LEADER


async def test_a_quorum_that_is_known_to_be_lost_is_not_asked(swarm):
    swarm.membership.leaderless = True
    assert await swarm.refused("GET", "/nodes") == (500, NO_LEADER)
    assert await swarm.refused("DELETE", "/nodes/worker1") == (500, NO_LEADER)
    assert (await swarm.get("/info"))["Swarm"]["Error"] == NO_LEADER
    swarm.membership.leaderless = False
    assert len(await swarm.get("/nodes")) == 3


async def test_a_manager_that_starts_is_waited_for(swarm, monkeypatch):
    monkeypatch.setattr(quorum, "DEADLINE", 3600)
    swarm.membership.starts = True
    asked = asyncio.ensure_future(swarm.get("/nodes"))
    await asyncio.sleep(3 * quorum.STARTING)
    assert not asked.done()
    swarm.membership.starts = False
    assert len(await asked) == 3


async def test_a_manager_that_starts_is_not_waited_for_once_it_is_known_to_lack_a_quorum(swarm, monkeypatch):
    monkeypatch.setattr(quorum, "DEADLINE", 3600)
    swarm.membership.starts = True
    asked = asyncio.ensure_future(swarm.refused("GET", "/nodes"))
    await asyncio.sleep(3 * quorum.STARTING)
    assert not asked.done()
    swarm.membership.leaderless = True
    async with asyncio.timeout(20):
        assert await asked == (500, NO_LEADER)
