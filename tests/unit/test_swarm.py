"""What hosts answer becomes a picture of the swarm, its quorum in words, and its differences from the spec."""

import time

import pytest
from fake_engine import FakeEngine, machine, node

from provisioner import swarm
from provisioner.lab import describe
from provisioner.swarm import Answer, Node, Quorum, Swarm

NO_LEADER = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. "
    "It's possible that too few managers are online. Make sure more than half of the managers are online."
)


@pytest.mark.parametrize(
    ("quorum", "words"),
    [
        (Quorum(("a", "b", "c"), ("a", "b", "c"), leader="a"), "3 managers, 3 reachable: tolerates 1 more loss"),
        (Quorum(("a", "b", "c"), ("a", "b"), leader="a"), "3 managers, 2 reachable: tolerates no more loss"),
        (Quorum(tuple("abcde"), tuple("abcde"), leader="a"), "5 managers, 5 reachable: tolerates 2 more losses"),
        (Quorum(("a",), ("a",), leader="a"), "1 manager, 1 reachable: tolerates no more loss"),
        (
            Quorum(("a", "b", "c"), ("a",), stopped=("b", "c")),
            "3 managers, 1 reachable: no quorum (2 needed); management stands still until one more returns: "
            "provision start b",
        ),
        (
            Quorum(tuple("abcde"), ("a",), stopped=("b", "c", "d", "e")),
            "5 managers, 1 reachable: no quorum (3 needed); management stands still until 2 more return: "
            "provision start b c",
        ),
        (
            Quorum(("a", "b", "c"), ("a",)),
            "3 managers, 1 reachable: no quorum (2 needed); management stands still until one more returns: "
            "provision logs b --unit docker says why it is silent",
        ),
        (Quorum(("a", "b", "c"), ("a", "b")), "3 managers, 2 reachable: a majority, but no leader at this moment"),
        (Quorum((), ()), "no swarm: no host is a member of one"),
    ],
)
def test_quorum_in_words(quorum, words):
    assert quorum.words() == words


def test_the_cure_names_the_lab():
    assert Quorum(("a", "b"), ("a",), stopped=("b",)).words("course-1").endswith("provision start b --name course-1")


def test_a_healthy_swarm_is_read_from_any_manager(tmp_path):
    nodes = [node("worker1"), node("manager2", leader=True), node("manager10"), node("manager1")]
    tasks = [
        {
            "ID": "t1", "ServiceID": "s1", "Slot": 2, "NodeID": "id-worker1",
            "Status": {"State": "running", "ContainerStatus": {"ContainerID": "c1"}},
        },
        {"ID": "t2", "ServiceID": "s1", "Slot": 1, "NodeID": "id-manager1", "Status": {"State": "starting"}},
        {"ID": "t3", "ServiceID": "s1", "Status": {"State": "pending"}},
    ]  # fmt: skip
    answers = {"/nodes": nodes, "/tasks": tasks, "/services": [{"ID": "s1", "Spec": {"Name": "web"}}]}
    with (
        FakeEngine(tmp_path / "manager1.sock", answers=answers),
        FakeEngine(tmp_path / "worker1.sock", swarm="active/worker"),
    ):
        seen = swarm.read([machine("manager1", tmp_path), machine("worker1", tmp_path)])
    assert [each.hostname for each in seen.nodes] == ["manager1", "manager2", "manager10", "worker1"]
    assert seen.leader is not None
    assert seen.leader.hostname == "manager2"
    assert [answer.membership for answer in seen.answers] == ["manager", "worker"]
    assert [(task.name, task.host, task.state) for task in seen.tasks] == [
        ("web.", "", "pending"), ("web.1", "manager1", "starting"), ("web.2", "worker1", "running"),
    ]  # fmt: skip
    assert [task.container for task in seen.running_on("worker1")] == ["c1"]
    assert seen.quorum.words() == "3 managers, 3 reachable: tolerates 1 more loss"


def test_a_manager_without_power_is_not_called_reachable_although_the_swarm_has_not_noticed(tmp_path):
    nodes = [node("manager1", leader=True), node("manager2"), node("manager3")]
    with FakeEngine(tmp_path / "manager1.sock", answers={"/nodes": nodes, "/tasks": [], "/services": []}):
        seen = swarm.read([machine("manager1", tmp_path), machine("manager2", tmp_path, state="stopped")])
    assert seen.quorum.words() == "3 managers, 2 reachable: tolerates no more loss"


def test_without_a_leader_the_members_are_known_from_what_each_host_keeps(tmp_path):
    remote = [{"Addr": f"192.168.56.{n}:2377", "NodeID": f"n{n}"} for n in (10, 11, 12)]
    with (
        FakeEngine(tmp_path / "manager1.sock", answers={"/info": {"Swarm": {"RemoteManagers": remote}}}) as one,
        FakeEngine(tmp_path / "worker1.sock", swarm="active/worker") as worker,
    ):
        one.refuse("/nodes", NO_LEADER)
        worker.answers["/info"] = {"Swarm": {"RemoteManagers": remote}}
        seen = swarm.read(
            [
                machine("manager1", tmp_path),
                machine("manager2", tmp_path, state="stopped"),
                machine("manager3", tmp_path, state="stopped", role="worker"),
                machine("worker1", tmp_path),
            ]
        )
    assert seen.nodes == ()
    assert seen.error.startswith(swarm.NO_LEADER)
    assert seen.quorum.managers == ("manager1", "manager2", "manager3")  # the last one was promoted behind our back
    assert "no quorum (2 needed)" in seen.quorum.words()
    assert "provision start manager2" in seen.quorum.words()


def test_a_call_that_hangs_ends_at_its_deadline(tmp_path):
    with FakeEngine(tmp_path / "manager1.sock") as engine:
        engine.slow = {"/nodes": 3, "/info": 3}
        began = time.monotonic()
        seen = swarm.read([machine("manager1", tmp_path)], timeout=0.2)
        assert time.monotonic() - began < 1.5
    assert seen.answers[0].membership == "manager"
    assert seen.answers[0].error == "no answer in time"


def test_an_engine_that_does_not_say_its_role_by_ping_is_asked_for_more(tmp_path):
    info = {"Swarm": {"LocalNodeState": "active", "ControlAvailable": False}}
    with FakeEngine(tmp_path / "worker1.sock", swarm=None, answers={"/info": info}):
        seen = swarm.read([machine("worker1", tmp_path)])
    assert seen.answers == (Answer("worker1", "worker"),)


def test_a_host_that_is_still_on_its_way_into_a_swarm_says_so(tmp_path):
    with FakeEngine(tmp_path / "manager1.sock", swarm="pending"):
        seen = swarm.read([machine("manager1", tmp_path)])
    assert seen.answers == (Answer("manager1", "inactive", "Docker says pending"),)


def test_hosts_without_docker_or_without_a_swarm_say_so(tmp_path):
    with FakeEngine(tmp_path / "manager1.sock", swarm="inactive"):
        seen = swarm.read([machine("manager1", tmp_path), machine("manager2", tmp_path)])
    assert [answer.membership for answer in seen.answers] == ["inactive", "silent"]
    assert seen.answers[1].error == "it has no Docker socket"
    assert seen.quorum.words() == "no swarm: no host is a member of one"


def a_node(name, **changes):
    values = {
        "id": f"id-{name}", "hostname": name, "role": "manager" if name.startswith("manager") else "worker",
        "availability": "active", "status": "ready", "leader": name == "manager1",
        "reachability": "reachable" if name.startswith("manager") else "", "address": "", "engine": "", "labels": {},
    }  # fmt: skip
    return Node(**{**values, **changes})


def a_swarm(*nodes, answers=None):
    managers = tuple(each.hostname for each in nodes if each.role == "manager")
    said = {each.hostname: Answer(each.hostname, each.role) for each in nodes} | (answers or {})
    leader = next((each.hostname for each in nodes if each.leader), "")
    return Swarm(tuple(said.values()), nodes, (), Quorum(managers, managers, leader=leader))


SPEC = describe(managers=2, workers=1)
GOOD = (a_node("manager1"), a_node("manager2"), a_node("worker1"))


def test_a_swarm_as_asked_has_no_differences():
    assert swarm.matches(SPEC, a_swarm(*GOOD)) == []


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        (a_node("worker1", role="manager", reachability="reachable"), "worker1: is a manager, a worker was asked for"),
        (a_node("manager2", role="worker", reachability=""), "manager2: is a worker, a manager was asked for"),
        (a_node("manager2", status="down"), "manager2: the swarm says Down"),
        (a_node("manager2", reachability="unreachable"), "manager2: the other managers say Unreachable"),
        (a_node("worker1", availability="drain"), "worker1: its availability is drain, active was asked for"),
        (a_node("worker1", labels={"disk": "ssd"}), "worker1: its label disk is 'ssd', absent was asked for"),
    ],
)
def test_each_difference_is_named(changed, difference):
    nodes = [changed if each.hostname == changed.hostname else each for each in GOOD]
    assert difference in swarm.matches(SPEC, a_swarm(*nodes))


@pytest.mark.parametrize(
    ("answer", "differences"),
    [
        (Answer("worker1", "inactive"), ["worker1: is in no swarm"]),
        (Answer("worker1", "inactive", "Docker says pending"), ["worker1: is in no swarm (Docker says pending)"]),
        (Answer("worker1", "worker"), ["worker1: is in a swarm, but not in this one"]),
        (
            Answer("worker1", "silent", "no answer in time"),
            ["worker1: Docker does not answer (no answer in time)", "worker1: is not in the swarm"],
        ),
    ],
)
def test_a_host_that_is_not_a_member(answer, differences):
    assert swarm.matches(SPEC, a_swarm(*GOOD[:2], answers={"worker1": answer})) == differences


def test_an_old_entry_of_a_host_and_a_stranger_are_extra():
    old = a_node("worker1", id="old", status="down")
    found = swarm.matches(SPEC, a_swarm(old, *GOOD, a_node("stranger")))
    assert found == [
        "the swarm has a second entry for worker1 (old, down); docker node rm takes it away",
        "the swarm has a node that is not of this lab: stranger (id-stranger, ready); docker node rm takes it away",
    ]


def test_without_nodes_the_quorum_is_the_difference():
    lost = Swarm(
        (Answer("manager1", "manager", "The swarm does not have a leader."), Answer("manager2", "stopped", "off"),
         Answer("worker1", "worker")),
        (), (), Quorum(("manager1", "manager2"), ("manager1",), ("manager2",)),
    )  # fmt: skip
    found = swarm.matches(SPEC, lost)
    assert found[0] == "manager2: off"
    assert "no quorum (2 needed)" in found[1]
    assert "(The swarm does not have a leader.)" in found[1]


def test_a_swarm_that_its_users_have_changed_is_at_rest():
    answers = {"worker1": Answer("worker1", "inactive"), "manager2": Answer("manager2", "worker")}
    demoted = a_node("manager2", role="worker", reachability="", availability="drain")
    assert swarm.unrest(a_swarm(a_node("manager1"), demoted, answers=answers)) == []


@pytest.mark.parametrize(
    ("nodes", "answers", "wanting"),
    [
        (GOOD, {"worker1": Answer("worker1", "silent", "no answer in time")},
         ["worker1: Docker does not answer (no answer in time)"]),
        (GOOD[:2], {"worker1": Answer("worker1", "inactive", "Docker says pending")},
         ["worker1: is in no swarm (Docker says pending)"]),
        ((*GOOD[:2], a_node("worker1", status="down")), {}, ["worker1: the swarm says Down"]),
        ((GOOD[0], a_node("manager2", reachability="unreachable")), {},
         ["manager2: the other managers say Unreachable"]),
        ((GOOD[0], a_node("manager2", status="down")), {"manager2": Answer("manager2", "stopped", "off")}, []),
    ],
)  # fmt: skip
def test_what_is_still_on_its_way_after_a_start(nodes, answers, wanting):
    assert swarm.unrest(a_swarm(*nodes, answers=answers)) == wanting


@pytest.mark.parametrize(("stopped", "waits"), [((), True), (("manager2",), False)])
def test_a_leader_is_waited_for_only_where_enough_managers_run(stopped, waits):
    answers = (Answer("manager1", "manager", "The swarm does not have a leader."),)
    seen = Swarm(answers, (), (), Quorum(("manager1", "manager2"), ("manager1",), stopped))
    assert bool(swarm.unrest(seen)) is waits
