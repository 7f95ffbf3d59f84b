"""The playbooks' own modules: their plans as pure functions, and each module whole against an engine's socket."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from fake_engine import FakeEngine
from role_modules import ROLES, load

TOPOLOGY = ROLES / "topology"


engine_api = load(TOPOLOGY / "module_utils/swarm_engine.py", "ansible.module_utils.swarm_engine")
swarm_plan = load(TOPOLOGY / "module_utils/swarm_plan.py", "ansible.module_utils.swarm_plan")
filters = load(TOPOLOGY / "filter_plugins/swarm_filters.py", "swarm_filters")
swarm_info = load(TOPOLOGY / "library/swarm_info.py", "swarm_info")
swarm_init = load(TOPOLOGY / "library/swarm_init.py", "swarm_init")
swarm_join = load(TOPOLOGY / "library/swarm_join.py", "swarm_join")
swarm_leave = load(TOPOLOGY / "library/swarm_leave.py", "swarm_leave")
swarm_nodes = load(TOPOLOGY / "library/swarm_nodes.py", "swarm_nodes")
host_names = load(ROLES / "base/library/host_names.py", "host_names")

CLUSTER = "c1"
TOKENS = {"Manager": "SWMTKN-1-ca-manager", "Worker": "SWMTKN-1-ca-worker"}


def node(name: str, role: str = "worker", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "ID": f"{name}-id",
        "Version": {"Index": 7},
        "Spec": {"Role": role, "Availability": "active", "Labels": {}},
        "Description": {"Hostname": name},
        "Status": {"State": "ready", "Addr": f"10.0.0.{name[-1]}"},
    }
    if role == "manager":
        made["ManagerStatus"] = {"Reachability": "reachable", "Addr": f"10.0.0.{name[-1]}:2377"}
    return made | more


def wanted(name: str, role: str = "worker", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "node_id": f"{name}-id",
        "hostname": name,
        "address": f"10.0.0.{name[-1]}",
        "role": role,
        **more,
    }


class Swarm(FakeEngine):
    """An engine in a swarm (or in none) that does what it is told about nodes."""

    def __init__(self, socket: Path, *, state: str = "active", manager: bool = True, nodes: Any = ()) -> None:
        super().__init__(socket)
        self.nodes = {each["ID"]: each for each in nodes}
        self.locals: dict[str, Any] = {}
        self.become(state, manager=manager)
        self.joins: list[Any] = []
        self.updates: list[Any] = []
        self.answers |= {
            "/info": lambda _: (200, {"Name": "host1", "Swarm": self.locals}),
            "/swarm": {"ID": CLUSTER, "JoinTokens": TOKENS},
            "/swarm/init": self._init,
            "/swarm/join": self._join,
            "/swarm/leave": self._leave,
            "/nodes": lambda _: (200, list(self.nodes.values())),
        }
        for each in nodes:
            self.answers[f"/nodes/{each['ID']}"] = self._node(each["ID"])
            self.answers[f"/nodes/{each['ID']}/update"] = self._update(each["ID"])

    def become(self, state: str, *, manager: bool = False, node_id: str = "host1-id", **more: Any) -> None:
        self.swarm = "inactive" if state == "inactive" else f"{state}/{'manager' if manager else 'worker'}"
        self.locals = {"LocalNodeState": state, "NodeID": "" if state == "inactive" else node_id, **more}
        if manager:
            self.locals |= {"ControlAvailable": True, "Cluster": {"ID": CLUSTER}}

    def _init(self, _: Any) -> tuple[int, Any]:
        self.become("active", manager=True)
        self.nodes = {"host1-id": node("host1", "manager")}
        return 200, "host1-id"

    def _join(self, request: Any) -> tuple[int, Any]:
        self.joins.append(request[0])
        self.become("active")
        return 200, None

    def _leave(self, _: Any) -> tuple[int, Any]:
        self.become("inactive")
        return 200, None

    def _node(self, node_id: str) -> Any:
        def answer(_: Any) -> tuple[int, Any]:
            if self.seen[-1].startswith("DELETE"):
                del self.nodes[node_id]
                return 200, None
            return 200, self.nodes[node_id]

        return answer

    def _update(self, node_id: str) -> Any:
        def answer(request: Any) -> tuple[int, Any]:
            body, query = request
            self.updates.append((node_id, body, query))
            changed = self.nodes[node_id] | {"Spec": body}
            changed.pop("ManagerStatus", None)
            if body["Role"] == "manager":
                changed["ManagerStatus"] = {"Reachability": "reachable"}
            self.nodes[node_id] = changed
            return 200, None

        return answer


@pytest.fixture
def run(capsys):
    """Runs a module as Ansible does and returns its result; ``check`` for check mode."""

    def call(module: ModuleType, *, check: bool = False, **arguments: Any) -> dict[str, Any]:
        with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return call


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


# -- plan -------------------------------------------------------------------------------------------------------------


def plan(nodes, hosts, *, replace=False):
    made = swarm_plan.plan(nodes, [swarm_plan.Wanted(**host) for host in hosts], replace_labels=replace)
    return [(action.verb, action.node_id) for action in made]


def test_nothing_to_do():
    nodes = [node("host1", "manager"), node("host2")]
    assert plan(nodes, [wanted("host1", "manager"), wanted("host2", availability="active")]) == []


def test_promotions_come_before_demotions_and_the_leader_goes_last():
    leader = node("host1", "manager")
    leader["ManagerStatus"]["Leader"] = True
    nodes = [leader, node("host2", "manager"), node("host3"), node("host4")]
    hosts = [wanted("host1"), wanted("host2"), wanted("host3", "manager"), wanted("host4", labels={"a": "b"})]
    assert plan(nodes, hosts) == [
        ("promote", "host3-id"),
        ("update", "host4-id"),
        ("demote", "host2-id"),
        ("demote", "host1-id"),
    ]


def test_labels_are_merged_or_replaced():
    present = node("host1")
    present["Spec"]["Labels"] = {"old": "1", "kept": "2"}
    host = swarm_plan.Wanted(**wanted("host1", labels={"kept": "2", "new": "3"}))
    (merged,) = swarm_plan.plan([present], [host], replace_labels=False)
    assert (merged.spec["Labels"], merged.changes) == ({"old": "1", "kept": "2", "new": "3"}, ("label new=3",))
    (replaced,) = swarm_plan.plan([present], [host], replace_labels=True)
    assert replaced.spec["Labels"] == {"kept": "2", "new": "3"}
    assert replaced.changes == ("label new=3", "label old removed")


def test_what_a_wiped_host_was_is_demoted_and_removed():
    was = node("host1", "manager", ID="old-id", Status={"State": "down", "Addr": "10.0.0.9"})
    nodes = [was, node("host1", "manager"), node("host2", "manager")]
    hosts = [wanted("host1", "manager"), wanted("host2")]
    assert plan(nodes, hosts) == [("demote", "old-id"), ("demote", "host2-id"), ("remove", "old-id")]


def test_what_a_wiped_host_was_is_known_by_its_address_before_it_counts_as_down():
    was = node("host1", ID="old-id", Status={"State": "ready", "Addr": "10.0.0.1"})
    assert plan([was, node("host1")], [wanted("host1")]) == [("remove", "old-id")]


@pytest.mark.parametrize(
    "other",
    [
        node("host1", ID="twin-id", Status={"State": "ready", "Addr": "10.0.0.77"}),  # another machine of that name
        node("guest1", ID="guest-id", Status={"State": "down", "Addr": "10.0.0.1"}),  # not of the inventory
    ],
)
def test_nodes_of_others_are_left_alone(other):
    assert plan([other, node("host1")], [wanted("host1")]) == []


# -- where the hosts meet ---------------------------------------------------------------------------------------------


def member(state="active", *, cluster="", manager=False, error=""):
    return {"state": state, "cluster_id": cluster, "manager": manager, "quorum": bool(cluster), "error": error}


OUT = member("inactive")


def meeting(managers=("m1", "m2"), **members):
    hostvars = {host: {"topology_member": each} for host, each in members.items()}
    return filters.swarm_meeting(list(members), hostvars, list(managers))


def test_where_there_is_no_swarm_the_first_manager_forms_it():
    assert meeting(m1=OUT, m2=OUT, w1=OUT) == {"manager": "m1", "problem": ""}


def test_hosts_that_failed_are_not_counted_on():
    assert meeting(m2=OUT, w1=OUT)["manager"] == "m2"


def test_a_manager_with_a_quorum_is_joined():
    assert meeting(m1=OUT, m2=member(cluster="c", manager=True), w1=OUT)["manager"] == "m2"


def test_a_manager_that_is_none_in_the_inventory_will_do():
    assert meeting(m1=OUT, m2=member(), w1=member(cluster="c", manager=True))["manager"] == "w1"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"m1": member(cluster="a", manager=True), "m2": member(cluster="b", manager=True)},
            ["2 different swarms: m1 in a; m2 in b", "docker swarm leave --force"],
        ),
        (
            {"m1": member(manager=True, error="no leader now"), "m2": member("pending"), "w1": OUT},
            ["of m1, m2 has no quorum (no leader now)", "--force-new-cluster"],
        ),
        ({"m1": OUT, "w1": member()}, ["w1 are in a swarm, but none of its managers", "leave"]),
        ({"m1": member("locked"), "m2": OUT}, ["locked on m1", "docker swarm unlock"]),
        ({"w1": OUT}, ["no host of the group `managers`"]),
    ],
)
def test_why_there_is_no_place_to_meet(members, words):
    problem = meeting(**members)["problem"]
    assert all(word in problem for word in words), problem


def test_the_inventory_says_how_a_host_shall_be():
    hostvars = {
        "m1": {"ansible_host": "10.0.0.1"},
        "w1": {
            "ansible_host": "203.0.113.1",
            "swarm_advertise_addr": "10.0.0.2",
            "swarm_availability": "drain",
            "swarm_labels": {"disk": "ssd"},
            "topology_node": {"node_id": "w1-id", "hostname": "w1"},
        },
    }
    found = filters.swarm_wanted(["m1", "w1"], hostvars, ["m1"])
    assert found["m1"] | {"name": "m1"} == {
        "name": "m1", "address": "10.0.0.1", "role": "manager", "availability": "", "labels": {},
        "node_id": "", "hostname": "",
    }  # fmt: skip
    assert (found["w1"]["address"], found["w1"]["role"], found["w1"]["node_id"]) == ("10.0.0.2", "worker", "w1-id")


# -- swarm_info -------------------------------------------------------------------------------------------------------


def test_info_of_a_manager(run, socket):
    with Swarm(socket):
        result = run(swarm_info, docker_socket=str(socket))
    assert (result["state"], result["manager"], result["quorum"], result["cluster_id"]) == (
        "active", True, True, CLUSTER,
    )  # fmt: skip


def test_info_outside_a_swarm_asks_nothing_dear(run, socket):
    with Swarm(socket, state="inactive") as engine:
        assert run(swarm_info, docker_socket=str(socket))["state"] == "inactive"
    assert engine.seen == ["GET /_ping?"]


def test_info_of_an_older_engine_whose_ping_says_nothing(run, socket):
    with Swarm(socket) as engine:
        engine.swarm = None
        assert run(swarm_info, docker_socket=str(socket))["node_id"] == "host1-id"


def test_info_waits_for_a_role_and_says_what_it_saw(run, socket):
    with Swarm(socket, manager=False):
        result = run(swarm_info, docker_socket=str(socket), role="manager", timeout=0)
    assert result["failed"]
    assert "no manager of the swarm 0 s after" in result["msg"]


def test_info_without_an_engine(run, socket):
    assert "systemctl status docker" in run(swarm_info, docker_socket=str(socket))["msg"]
    assert run(swarm_info, docker_socket=str(socket), check=True)["state"] == "inactive"


# -- swarm_init -------------------------------------------------------------------------------------------------------


def test_init_forms_a_swarm_once(run, socket):
    with Swarm(socket, state="inactive"):
        first = run(swarm_init, docker_socket=str(socket), advertise_addr="10.0.0.1")
        second = run(swarm_init, docker_socket=str(socket), advertise_addr="10.0.0.1")
    assert (first.pop("changed"), second.pop("changed")) == (True, False)
    assert {**first, "invocation": 0} == {**second, "invocation": 0}
    assert first["tokens"] == {"manager": TOKENS["Manager"], "worker": TOKENS["Worker"]}
    assert (first["nodes"], first["managers"]) == (["host1-id"], ["10.0.0.1:2377"])


def test_init_in_check_mode_forms_none(run, socket):
    with Swarm(socket, state="inactive") as engine:
        assert run(swarm_init, docker_socket=str(socket), advertise_addr="10.0.0.1", check=True)["changed"]
    assert not any("init" in call for call in engine.seen)


def test_init_refused_in_docker_s_words(run, socket):
    with Swarm(socket, state="inactive") as engine:
        engine.refuse("/swarm/init", "could not find the system's IP address", 400)
        result = run(swarm_init, docker_socket=str(socket), advertise_addr="10.0.0.1")
    assert result["msg"] == "could not find the system's IP address"


# -- swarm_join -------------------------------------------------------------------------------------------------------

JOIN = {
    "cluster_id": CLUSTER,
    "nodes": ["host1-id", "host2-id"],
    "managers": ["10.0.0.2:2377"],
    "token": TOKENS["Worker"],
    "advertise_addr": "10.0.0.1",
}


def test_join_sends_the_token_and_does_not_return_it(run, socket):
    with Swarm(socket, state="inactive") as engine:
        result = run(swarm_join, docker_socket=str(socket), **JOIN)
    assert (result["changed"], result["node_id"], result["hostname"]) == (True, "host1-id", "host1")
    (request,) = engine.joins
    assert (request["JoinToken"], request["AdvertiseAddr"]) == (TOKENS["Worker"], "10.0.0.1:2377")
    assert TOKENS["Worker"] not in json.dumps(result)


def test_join_changes_nothing_where_it_is_a_member(run, socket):
    with Swarm(socket, manager=False) as engine:
        assert not run(swarm_join, docker_socket=str(socket), **JOIN)["changed"]
    assert engine.joins == []


@pytest.mark.parametrize(
    "other", [{"node_id": "stranger-id"}, {"manager": True, "Cluster": {"ID": "c2"}, "ControlAvailable": True}]
)
def test_join_leaves_another_swarm_alone(run, socket, other):
    with Swarm(socket) as engine:
        engine.become("active", **{"manager": False, **other})
        if "Cluster" in other:
            engine.locals["Cluster"] = other["Cluster"]
        result = run(swarm_join, docker_socket=str(socket), **JOIN)
    assert "in another swarm" in result["msg"]
    assert "docker swarm leave --force" in result["msg"]
    assert engine.joins == []


@pytest.mark.parametrize("node_id", ["", "host1-id"])
def test_join_ends_a_join_that_got_stuck(run, socket, monkeypatch, node_id):
    monkeypatch.setattr(engine_api.settled_membership, "__kwdefaults__", {"role": "", "seconds": 0.1})
    with Swarm(socket) as engine:
        engine.become("pending", node_id=node_id, Error="context deadline exceeded")
        result = run(swarm_join, docker_socket=str(socket), **JOIN)
    assert result["changed"]
    assert "context deadline exceeded" in str(result["warnings"])
    assert "POST /swarm/leave?force=1" in engine.seen
    assert len(engine.joins) == 1


def test_join_tries_again_while_managers_are_busy(run, socket):
    with Swarm(socket, state="inactive") as engine:
        answers = [(500, {"message": "rpc error: code = Unknown desc = raft: no elected cluster leader"})]
        engine.answers["/swarm/join"] = lambda request: answers.pop() if answers else engine._join(request)
        assert run(swarm_join, docker_socket=str(socket), **JOIN)["changed"]


def test_join_gives_up_with_the_last_words(run, socket):
    with Swarm(socket, state="inactive") as engine:
        engine.refuse("/swarm/join", "connection refused", 500)
        result = run(swarm_join, docker_socket=str(socket), timeout=0, **JOIN)
    assert "not joined within 0 s: connection refused. Can it reach 10.0.0.2:2377?" in result["msg"]


def test_join_does_not_repeat_a_wrong_token(run, socket):
    with Swarm(socket, state="inactive") as engine:
        engine.refuse("/swarm/join", "rpc error: code = InvalidArgument desc = A valid join token is necessary", 400)
        result = run(swarm_join, docker_socket=str(socket), **JOIN)
    assert "valid join token" in result["msg"]


# -- swarm_leave ------------------------------------------------------------------------------------------------------


def test_leave_is_for_members_and_foreseen_by_a_check(run, socket):
    with Swarm(socket) as engine:
        assert run(swarm_leave, docker_socket=str(socket), check=True)["changed"]
        assert not any("leave" in request for request in engine.seen)
        assert run(swarm_leave, docker_socket=str(socket))["changed"]
        assert "POST /swarm/leave?force=1" in engine.seen
        assert not run(swarm_leave, docker_socket=str(socket))["changed"]


def test_leave_needs_an_engine_that_answers_unless_it_is_about_to_go(run, socket):
    absent = str(socket) + ".none"
    assert "no answer from the Docker Engine" in run(swarm_leave, docker_socket=absent)["msg"]
    assert not run(swarm_leave, docker_socket=absent, required=False)["changed"]


# -- swarm_nodes ------------------------------------------------------------------------------------------------------


def test_nodes_become_what_the_inventory_says(run, socket):
    nodes = [node("host1", "manager"), node("host2"), node("host3", "manager")]
    hosts = [wanted("host1", "manager"), wanted("host2", "manager", labels={"n": 1}), wanted("host3")]
    with Swarm(socket, nodes=nodes) as engine:
        foreseen = run(swarm_nodes, docker_socket=str(socket), hosts=hosts, check=True)
        assert engine.updates == []
        done = run(swarm_nodes, docker_socket=str(socket), hosts=hosts)
        again = run(swarm_nodes, docker_socket=str(socket), hosts=hosts)
    actions = ["host2: label n=1, promoted to manager", "host3: demoted to worker"]
    assert foreseen["actions"] == done["actions"] == actions
    assert done["diff"]["prepared"] == "".join(f"~ {action}\n" for action in actions)
    assert (again["changed"], again["actions"]) == (False, [])
    assert engine.updates[0][2] == "version=7"
    assert engine.updates[0][1]["Labels"] == {"n": "1"}


def test_a_role_that_does_not_come_into_effect_fails(run, socket):
    with Swarm(socket, nodes=[node("host1", "manager"), node("host2")]) as engine:
        engine.answers["/nodes/host2-id/update"] = None
        result = run(
            swarm_nodes, docker_socket=str(socket), timeout=0,
            hosts=[wanted("host1", "manager"), wanted("host2", "manager")],
        )  # fmt: skip
    assert "host2: promoted to manager: not in effect after 0 s" in result["msg"]


def test_a_refusal_names_the_host_and_what_was_tried(run, socket):
    with Swarm(socket, nodes=[node("host1", "manager"), node("host2", "manager")]) as engine:
        engine.refuse("/nodes/host2-id/update", "this would result in a loss of quorum", 400)
        result = run(
            swarm_nodes, docker_socket=str(socket), hosts=[wanted("host1", "manager"), wanted("host2")]
        )  # fmt: skip
    assert result["msg"] == "host2: demoted to worker: refused: this would result in a loss of quorum"


def test_hosts_that_are_no_nodes_are_named(run, socket):
    with Swarm(socket, nodes=[node("host1", "manager")]):
        hosts = [wanted("host1", "manager"), wanted("host2")]
        assert "no nodes of the swarm: host2" in run(swarm_nodes, docker_socket=str(socket), hosts=hosts)["msg"]
        check = [wanted("host1", "manager"), wanted("host2") | {"node_id": ""}]
        assert not run(swarm_nodes, docker_socket=str(socket), hosts=check, check=True)["changed"]


# -- addresses and names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1", "10.0.0.1:2377"),
        ("10.0.0.1:4000", "10.0.0.1:4000"),
        ("fd00::1", "[fd00::1]:2377"),
        ("[fd00::1]", "[fd00::1]:2377"),
        ("[fd00::1]:4000", "[fd00::1]:4000"),
        ("eth0", "eth0:2377"),
    ],
)
def test_addresses_get_the_swarm_s_port(address, expected):
    assert engine_api.with_port(address) == expected


def test_names_replace_their_own_block_only(run, tmp_path, monkeypatch):
    monkeypatch.setattr(host_names.socket, "gethostname", lambda: "host1")
    hosts, name = tmp_path / "hosts", tmp_path / "hostname"
    hosts.write_text("127.0.0.1 localhost\n")
    arguments = {"hostname": "host1", "hosts_file": str(hosts), "hostname_file": str(name)}
    assert run(host_names, lines=["10.0.0.1 host1"], check=True, **arguments)["changed"]
    assert not name.exists()
    assert run(host_names, lines=["10.0.0.1 host1"], **arguments)["changed"]
    assert not run(host_names, lines=["10.0.0.1 host1"], **arguments)["changed"]
    hosts.write_text(hosts.read_text() + "10.9.9.9 own-entry\n")
    assert run(host_names, lines=["10.0.0.2 host2"], **arguments)["changed"]
    assert hosts.read_text().splitlines() == [
        "127.0.0.1 localhost", host_names.BEGIN, "10.0.0.2 host2", host_names.END, "10.9.9.9 own-entry",
    ]  # fmt: skip
    assert name.read_text() == "host1\n"
