"""Chapters 2 to 4 of the course, typed with the stock docker CLI: the same checks on both engines. Slow on Docker's.

The tests of an engine share five hosts and are in the course's order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from conftest import must, new_lab, run_provision
from course import HOSTS, Course

pytestmark = pytest.mark.slow

NO_LEADER = (
    "The swarm does not have a leader. It's possible that too few managers are online. "
    "Make sure more than half of the managers are online."
)


@pytest.fixture(scope="module", params=["docker", "swarmd"])
def course(request: pytest.FixtureRequest) -> Iterator[Course]:
    with new_lab("chapters", "--managers", "1", "--workers", "4", "--engine", request.param) as lab:
        must(run_provision("images", "load", "busybox", "tomcat", "--name", lab.name))
        course = Course(lab)
        for host in reversed(HOSTS):
            course.on(host, "docker swarm leave --force")
        yield course


# 2. Forming the cluster


def test_the_first_manager_prints_how_workers_join(course: Course) -> None:
    said = course.on("manager1", f"docker swarm init --advertise-addr {course.address}")
    assert re.search(r"^Swarm initialized: current node \(\w{25}\) is now a manager\.$", said, re.MULTILINE)
    join = re.search(r"^ +(docker swarm join --token SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25} \S+:2377)$", said, re.MULTILINE)
    assert join is not None, said
    assert join[1].endswith(f" {course.address}:2377")
    for worker in ("worker1", "worker2"):
        assert course.on(worker, join[1]) == "This node joined a swarm as a worker."


def test_a_second_join_is_refused(course: Course) -> None:
    token = course.on("manager1", "docker swarm join-token --quiet worker")
    words = course.refused("worker1", f"docker swarm join --token {token} {course.address}:2377")
    assert "This node is already part of a swarm" in words


def test_the_nodes_are_listed(course: Course) -> None:
    course.until_nodes("manager1", worker1="Ready Active", worker2="Ready Active")
    heading, *lines = course.on("manager1", "docker node ls").splitlines()
    assert heading.split() == ["ID", "HOSTNAME", "STATUS", "AVAILABILITY", "MANAGER", "STATUS", "ENGINE", "VERSION"]
    first = next(line for line in lines if " manager1 " in line)
    assert re.fullmatch(r"\w{25} \* +manager1 +Ready +Active +Leader +\S+", first)
    assert len(lines) == 3


def test_workers_cannot_list_them(course: Course) -> None:
    assert "This node is not a swarm manager" in course.refused("worker1", "docker node ls")


def test_nodes_are_promoted_and_demoted(course: Course) -> None:
    for worker in ("worker1", "worker2"):
        said = course.on("manager1", f"docker node promote {worker}")
        assert said == f"Node {worker} promoted to a manager in the swarm."
    course.until_nodes("manager1", worker1="Ready Active Reachable", worker2="Ready Active Reachable")
    assert course.on("manager1", "docker node demote worker1") == "Manager worker1 demoted in the swarm."
    course.until_nodes("manager1", worker1="Ready Active")


def test_managers_join_by_a_token_of_their_own(course: Course) -> None:
    said = course.on("manager1", "docker swarm join-token manager")
    assert said.startswith("To add a manager to this swarm, run the following command:")
    join = re.search(r"docker swarm join --token \S+ \S+:2377", said)
    assert join is not None, said
    assert course.on("worker3", join[0]) == "This node joined a swarm as a manager."
    course.until_nodes("manager1", worker3="Ready Active Reachable")


def test_tasks_leave_a_node_that_is_drained(course: Course) -> None:
    course.creates("manager1", "drained", "--replicas 4")
    assert course.containers("manager1", "drained")
    assert course.on("manager1", "docker node update --availability drain manager1") == "manager1"
    course.until("no task is left", lambda: not course.containers("manager1", "drained"))
    course.until_running("manager1", "drained", 4)
    assert course.nodes("manager1")["manager1"] == "Ready Drain Leader"
    course.on("manager1", "docker node update --availability active manager1")
    course.on("manager1", "docker service rm drained")


# 3. Raft, made visible


def test_one_manager_stopped_is_no_management_and_tasks_run_on(course: Course) -> None:
    course.has(managers=("manager1",), workers=("worker1", "worker2"))
    course.creates("manager1", "kept", "--replicas 3")
    before = course.containers("worker1", "kept")
    course.stop("manager1")
    for worker in ("worker1", "worker2"):
        assert "This node is not a swarm manager" in course.refused(worker, "docker node ls")
    assert course.containers("worker1", "kept") == before
    course.start("manager1")
    course.until_nodes("manager1", manager1="Ready Active Leader", worker1="Ready Active", worker2="Ready Active")
    course.until_running("manager1", "kept", 3)
    assert course.containers("worker1", "kept") == before


def test_of_two_managers_none_may_be_lost(course: Course) -> None:
    course.has(managers=("manager1",), workers=("worker1", "worker2"))
    course.on("manager1", "docker node promote worker1")
    course.until_nodes("manager1", worker1="Ready Active Reachable")
    course.creates("manager1", "kept", "--replicas 3")
    before = course.containers("worker2", "kept")
    course.stop("manager1")
    course.until("its words", lambda: NO_LEADER in course.run("worker1", "docker node ls").stderr)
    assert course.containers("worker2", "kept") == before
    course.start("manager1")
    course.until_running("worker1", "kept", 3)


@pytest.mark.parametrize("which", ["the leader", "another"])
def test_of_three_managers_any_one_may_be_lost(course: Course, which: str) -> None:
    managers = ("manager1", "worker1", "worker2")
    course.has(managers=managers)
    lost = "manager1" if which == "the leader" else "worker2"
    asked = "worker1"
    course.stop(lost)
    course.until("a leader", lambda: course.run(asked, "docker node ls").returncode == 0)
    course.until(f"{lost} is given up", lambda: course.nodes(asked)[lost] == "Down Active Unreachable")
    assert sum("Leader" in node for node in course.nodes(asked).values()) == 1
    course.creates(asked, "meanwhile")
    course.on(asked, "docker service scale --detach meanwhile=2")
    course.until_running(asked, "meanwhile", 2)
    course.start(lost)
    course.until("it is back", lambda: course.nodes(asked)[lost] == "Ready Active Reachable")


def test_of_three_managers_two_stopped_leave_no_leader_and_one_started_again_restores_it(course: Course) -> None:
    course.has(managers=("manager1", "worker1", "worker2"), workers=("worker3",))
    course.creates("manager1", "kept", "--replicas 4")
    survivor, on_worker = course.containers("worker2", "kept"), course.containers("worker3", "kept")
    course.stop("manager1", "worker1")
    course.until("its words", lambda: NO_LEADER in course.run("worker2", "docker node ls").stderr)
    assert NO_LEADER in course.refused("worker2", "docker service create --detach busybox")
    assert course.containers("worker2", "kept") == survivor
    assert course.containers("worker3", "kept") == on_worker
    course.start("worker1")
    course.until("a leader", lambda: course.run("worker2", "docker node ls").returncode == 0)
    course.until_running("worker2", "kept", 4)
    assert course.containers("worker3", "kept")[: len(on_worker)] == on_worker
    course.start("manager1")
    course.until("it is back", lambda: course.nodes("worker2")["manager1"] == "Ready Active Reachable")


def test_of_five_managers_two_may_be_lost_at_once_the_leader_among_them(course: Course) -> None:
    course.has(managers=HOSTS)
    course.creates("manager1", "kept", "--replicas 5")
    course.stop("manager1", "worker1")
    course.until("a leader", lambda: course.run("worker4", "docker node ls").returncode == 0)
    course.creates("worker4", "meanwhile")
    course.until_running("worker4", "kept", 5)
    course.start("manager1", "worker1")
    back = "Ready Active Reachable"
    course.until_nodes("worker4", manager1=back, worker1=back)


def test_a_survivor_goes_on_alone_with_all_that_was_there(course: Course) -> None:
    course.has(managers=("manager1", "worker1", "worker2"), workers=("worker3",))
    course.creates("manager1", "kept", "--replicas 4")
    on_worker = course.containers("worker3", "kept")
    course.stop("worker1", "worker2")
    course.until("its words", lambda: NO_LEADER in course.run("manager1", "docker node ls").stderr)
    said = course.on("manager1", f"docker swarm init --force-new-cluster --advertise-addr {course.address}")
    assert said.startswith("Swarm initialized: current node (")
    course.until_nodes("manager1", manager1="Ready Active Leader", worker3="Ready Active")
    course.until_running("manager1", "kept", 4)
    assert course.containers("worker3", "kept")[: len(on_worker)] == on_worker
    course.start("worker1", "worker2")


# 4. Services

TOMCAT = r"my-tomcat\.(\d)\.\w{25}"


def test_a_service_is_created_listed_inspected_and_logged(course: Course) -> None:
    course.has(managers=("manager1",), workers=("worker1", "worker2"))
    said = course.on("manager1", "docker service create --name my-tomcat tomcat")
    assert re.match(r"\w{25}\s", said)
    assert said.splitlines()[-1].startswith("verify: Service ")
    listed = course.on("manager1", "docker service ls").splitlines()
    assert listed[0].split() == ["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"]
    assert re.fullmatch(r"\w{12} +my-tomcat +replicated +1/1 +tomcat:latest *", listed[1])
    pretty = course.on("manager1", "docker service inspect --pretty my-tomcat")
    assert re.search(r"^Name:\s+my-tomcat$", pretty, re.MULTILINE)
    assert re.search(r"^ Replicas:\s+1$", pretty, re.MULTILINE)
    assert re.search(r"^ Image:\s+tomcat:latest$", pretty, re.MULTILINE)
    (task,) = course.on("manager1", "docker service ps --no-trunc my-tomcat").splitlines()[1:]
    assert re.match(r"\w{25} +my-tomcat\.1 +tomcat:latest +(manager1|worker1|worker2) +Running +Running ", task)
    heard = course.run("manager1", "docker service logs my-tomcat")
    assert re.search(r"^my-tomcat\.1\.\w{12}@\w+ +\| .", heard.stdout + heard.stderr, re.MULTILINE)


def test_it_is_scaled_over_the_nodes_and_its_containers_have_its_name(course: Course) -> None:
    said = course.on("manager1", "docker service scale my-tomcat=3")
    assert said.startswith("my-tomcat scaled to 3")
    for host in ("manager1", "worker1", "worker2"):
        (name,) = course.on(host, "docker ps --format '{{.Names}}'").splitlines()
        assert re.fullmatch(TOMCAT, name)


def test_a_container_that_is_removed_is_replaced_and_stays_in_the_history(course: Course) -> None:
    (container,) = course.containers("worker1", "my-tomcat")
    name = course.on("worker1", "docker ps --format '{{.Names}}'")
    slot = name.split(".")[1]
    course.on("worker1", f"docker rm -f {container}")
    course.until("another one runs", lambda: course.containers("worker1", "my-tomcat") not in ([], [container]))
    course.until_running("manager1", "my-tomcat", 3)
    lines = course.on("manager1", "docker service ps my-tomcat").splitlines()
    current = next(number for number, line in enumerate(lines) if f" my-tomcat.{slot} " in line)
    assert re.match(rf"\w{{12}} +my-tomcat\.{slot} .* Running +Running ", lines[current])
    assert re.match(rf"\w{{12}} +\\_ my-tomcat\.{slot} .* Shutdown +Failed ", lines[current + 1])


def test_it_is_removed(course: Course) -> None:
    assert course.on("manager1", "docker service rm my-tomcat") == "my-tomcat"
    assert course.on("manager1", "docker service ls --quiet") == ""
    for host in ("manager1", "worker1", "worker2"):
        course.until("its containers are gone", lambda host=host: not course.containers(host, "my-tomcat"))
