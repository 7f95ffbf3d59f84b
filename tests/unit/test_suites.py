"""What the suites read from Docker's words, and the waits they make. No lab: an object stands in for a host."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from provisioner.suites import capabilities, docker_cli
from provisioner.suites.connection import everywhere, output
from provisioner.suites.overlay.observing import MEGABYTE_MD5, Sight, Sights, look
from provisioner.suites.overlay.test_isolation import unanswered
from provisioner.suites.topology.test_tokens import base36
from provisioner.suites.waiting import wait_until


class Host:
    """A host that answers every command with the same words."""

    def __init__(self, stdout="", *, rc=0, stderr="", name="manager1"):
        self.backend = SimpleNamespace(hostname=name)
        self.answer = (stdout, stderr, rc)
        self.asked: list[tuple[str, ...]] = []

    def run(self, command, *args, timeout=0.0):
        self.asked.append((command, *args))
        stdout, stderr, rc = self.answer
        return SimpleNamespace(
            stdout=stdout, stderr=stderr, rc=rc, command=(command % args if args else command).encode()
        )


def line(name: str, node: str, desired: str, current: str, error: str = "", task: str = "x" * 25) -> str:
    return json.dumps(
        {"ID": task, "Name": name, "Node": node, "DesiredState": desired, "CurrentState": current, "Error": error}
    )


def test_tasks_of_a_service_are_read_with_their_history():
    text = "\n".join(
        (
            line("web.1", "manager2", "Running", "Running 3 seconds ago", task="a" * 25),
            line(r"\_ web.1", "manager1", "Shutdown", "Failed 9 seconds ago", "task: non-zero exit (137)"),
            line("web.2", "", "Running", "Pending 9 seconds ago", "no suitable node"),
        )
    )
    host = Host(text)
    tasks = docker_cli.tasks(host, "web")
    assert [task.name for task in tasks] == ["web.1", "web.1", "web.2"]
    assert tasks[0].container == "web.1." + "a" * 25
    assert docker_cli.running(tasks) == tasks[:1]
    assert docker_cli.told(tasks[1:]) == (
        "web.1 on manager1 is Failed (task: non-zero exit (137)); web.2 on no node is Pending (no suitable node)"
    )
    assert host.asked[0][-1] == "web"


def test_an_engine_that_does_not_answer_is_named():
    with pytest.raises(AssertionError, match="manager1: Docker does not answer: Cannot connect"):
        docker_cli.info(Host(json.dumps({"ServerErrors": ["Cannot connect to the Docker daemon"]})))


def test_a_failed_command_is_a_sentence():
    with pytest.raises(AssertionError) as caught:
        output(Host(rc=1, stderr="first\nno such network"), "docker network inspect %s", "web")
    assert str(caught.value) == "manager1: `docker network inspect web` ended with status 1: first no such network"


def test_a_wait_that_fails_shows_what_it_saw_last():
    seen = iter(range(100))
    with pytest.raises(AssertionError, match=r"^three tasks run: not so after 0\.05 s; last seen: \d of 3$"):
        wait_until(
            "three tasks run", lambda: next(seen), lambda n: n > 50, seconds=0.05, interval=0.01, words="{} of 3".format
        )


def test_a_wait_returns_the_observation_that_held():
    seen = iter([1, 2, 3])
    assert wait_until("two", lambda: next(seen), lambda n: n == 2, seconds=1, interval=0.01) == 2


def test_all_hosts_have_ended_when_one_fails():
    done = []

    def ask(host):
        if host.backend.hostname == "manager1":
            raise AssertionError("no")
        done.append(host.backend.hostname)

    with pytest.raises(AssertionError, match="no"):
        everywhere({name: Host(name=name) for name in ("manager1", "manager2", "manager3")}, ask)
    assert sorted(done) == ["manager2", "manager3"]


def test_what_a_container_sees_is_read_by_host():
    text = f"manager2 address manager2\nmanager2 packet bytes from\nmanager2 name \nmanager2 megabyte {MEGABYTE_MD5}"
    container = SimpleNamespace(host="manager2", name="check-1-first-manager2", address="10.0.1.4")
    host = Host(text)
    assert look(host, SimpleNamespace(name="source"), [container]) == {
        "manager2": Sight(address="manager2", name="", packet="bytes from", megabyte=MEGABYTE_MD5)
    }
    assert host.asked[0][-1] == "manager2=check-1-first-manager2=10.0.1.4"


def test_all_is_well_only_if_every_observation_is():
    full = Sight("manager2", "manager2", "bytes from", MEGABYTE_MD5)
    assert Sights({("manager1", "manager2"): full}).all_well()
    assert not Sights({("manager1", "manager2"): full, ("manager1", "manager3"): Sight()}).all_well()
    assert unanswered(Sights({("manager1", "manager3"): Sight()})) == "manager3 answers manager1 with nothing"


def test_digest_has_fifty_digits():
    assert base36(35) == "0" * 49 + "z"
    assert len(base36(2**256 - 1)) == 50


@pytest.mark.parametrize(
    ("with_it", "reason"),
    [((True, True), ""), ((False, False), "no ip_vs"), ((True, False), "no ip_vs on worker1")],
)
def test_a_capability_counts_where_every_host_has_it(with_it, reason):
    hosts = {
        name: Host(name=name, rc=0 if has else 1) for name, has in zip(("manager1", "worker1"), with_it, strict=True)
    }
    assert capabilities.lacking("ip_vs", hosts) == reason
