"""Chapters 2 and 3 of the course, typed with the stock docker CLI: the same checks on both engines. Slow on Docker's.

The tests of an engine share five hosts and are in the course's order.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from conftest import must, new_lab, run_provision

from provisioner import state
from provisioner.machines import ssh
from provisioner.state import LabFolder

pytestmark = pytest.mark.slow

HOSTS = ("manager1", "worker1", "worker2", "worker3", "worker4")
WITHIN = 90.0
"""Seconds: Docker's managers may take 36 s to find a leader (bench), and its nodes 33 s to be Down."""
NO_LEADER = (
    "The swarm does not have a leader. It's possible that too few managers are online. "
    "Make sure more than half of the managers are online."
)
ROLES = "docker node ls --format '{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}'"


class Course:
    def __init__(self, folder: LabFolder) -> None:
        self.folder = folder
        self.spec = state.load(folder).spec
        self.address = self._address("manager1")

    def run(self, host: str, command: str) -> subprocess.CompletedProcess[str]:
        argv = ssh.argv(self.folder, host, [command])
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)

    def on(self, host: str, command: str) -> str:
        done = self.run(host, command)
        assert done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def refused(self, host: str, command: str) -> str:
        done = self.run(host, command)
        assert done.returncode != 0, f"{host}: {command}: {done.stdout}"
        return done.stderr.strip()

    def until(self, what: str, done: Callable[[], bool]) -> None:
        end = time.monotonic() + WITHIN
        while not done():
            assert time.monotonic() < end, f"not within {WITHIN:g} s: {what}"
            time.sleep(0.2)

    def nodes(self, host: str) -> dict[str, str]:
        """Hostname -> status, availability and manager status, as a manager lists them."""
        lines = self.run(host, ROLES).stdout.splitlines()
        return {line.split()[0]: line.partition(" ")[2].strip() for line in lines}

    def until_nodes(self, host: str, **wanted: str) -> None:
        """Wait until a manager lists these nodes so; of others nothing is asked."""
        self.until(f"{host} lists {wanted}", lambda: wanted.items() <= self.nodes(host).items())

    def until_running(self, host: str, service: str, replicas: int) -> None:
        """`service ls` would count what was running on hosts that are off as well."""
        states = f"docker service ps {service} --filter desired-state=running --format '{{{{.CurrentState}}}}'"

        def all_run() -> bool:
            found = self.run(host, states).stdout.splitlines()
            return len(found) == replicas and all(state.startswith("Running") for state in found)

        self.until(f"{replicas} tasks of {service} run", all_run)

    def containers(self, host: str, service: str) -> list[str]:
        filtered = f"docker ps --quiet --filter label=com.docker.swarm.service.name={service}"
        return self.on(host, filtered).split()

    def stop(self, *hosts: str) -> None:
        must(run_provision("stop", *hosts, "--power-off", "--name", self.folder.name))

    def start(self, *hosts: str) -> None:
        must(run_provision("start", *hosts, "--name", self.folder.name))

    def has(self, *, managers: tuple[str, ...], workers: tuple[str, ...] = ()) -> None:
        """Form a new swarm of these; the first manager leads."""
        for host in HOSTS:
            self.run(host, "docker swarm leave --force")
        first = managers[0]
        self.on(first, f"docker swarm init --advertise-addr {self._address(first)}")
        for role, hosts in (("manager", managers[1:]), ("worker", workers)):
            token = self.on(first, f"docker swarm join-token --quiet {role}")
            for host in hosts:
                self.on(host, f"docker swarm join --token {token} {self._address(first)}:2377")
        expected = dict.fromkeys(managers[1:], "Ready Active Reachable")
        self.until_nodes(first, **{first: "Ready Active Leader"}, **expected, **dict.fromkeys(workers, "Ready Active"))

    def _address(self, host: str) -> str:
        return self.spec.host(host).address

    def creates(self, host: str, service: str, *options: str) -> None:
        words = " ".join(options)
        self.on(host, f"docker service create --quiet --init --name {service} {words} busybox sleep 3600")


@pytest.fixture(scope="module", params=["docker", "swarmd"])
def course(request: pytest.FixtureRequest) -> Iterator[Course]:
    with new_lab("chapters", "--managers", "1", "--workers", "4", "--engine", request.param) as lab:
        must(run_provision("images", "load", "busybox", "--name", lab.name))
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
