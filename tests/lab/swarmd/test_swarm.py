"""The swarm of chapters 2 to 4 of the course, typed with the stock docker CLI on one manager and two workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from conftest import must, new_lab, run_provision
from on_hosts import ROLES, on, refused, until

from provisioner.state import LabFolder


@pytest.fixture(scope="module")
def lab() -> Iterator[LabFolder]:
    with new_lab("course", "--managers", "1", "--workers", "2", "--engine", "swarmd") as lab:
        must(run_provision("images", "load", "busybox", "--name", lab.name))
        yield lab


@contextlib.contextmanager
def service(lab: LabFolder, name: str, *options: str, command: str = "sleep 3600") -> Iterator[None]:
    # PID 1 ignores SIGTERM unless it says otherwise; --init has it end at once.
    words = " ".join(options)
    on(lab, "manager1", f"docker service create --quiet --init --name {name} {words} busybox {command}")
    try:
        yield
    finally:
        on(lab, "manager1", f"docker service rm {name}")
        for host in ("manager1", "worker1", "worker2"):
            until(lab, host, f"docker ps --all --quiet --filter label=com.docker.swarm.service.name={name}", "")


def test_workers_cannot_manage(lab):
    assert "This node is not a swarm manager. Worker nodes can't be used" in refused(lab, "worker1", "docker node ls")
    assert "Is Manager: false" in on(lab, "worker1", "docker info 2>/dev/null")


def test_nodes_are_promoted_and_demoted(lab):
    assert "promoted to a manager in the swarm" in on(lab, "manager1", "docker node promote worker1 worker2")
    until(lab, "worker1", ROLES, "manager1 Leader\nworker1 Reachable\nworker2 Reachable")
    on(lab, "worker1", "docker node demote worker1")
    until(lab, "manager1", ROLES, "manager1 Leader\nworker1\nworker2 Reachable")
    until(lab, "worker1", "docker node ls 2>&1 | grep --count 'not a swarm manager'", "1")
    on(lab, "worker2", "docker node demote worker2")
    until(lab, "manager1", ROLES, "manager1 Leader\nworker1\nworker2")
    words = refused(lab, "manager1", "docker node demote manager1")
    assert "attempting to demote the last manager of the swarm" in words


def test_a_node_leaves_and_joins_again(lab):
    old = on(lab, "worker2", "docker info --format '{{.Swarm.NodeID}}' 2>/dev/null")
    on(lab, "worker2", "docker swarm leave")
    until(lab, "manager1", f"docker node ls --filter id={old} --format '{{{{.Status}}}}'", "Down")
    token = on(lab, "manager1", "docker swarm join-token --quiet worker")
    assert "joined a swarm as a worker" in on(lab, "worker2", f"docker swarm join --token {token} manager1:2377")
    on(lab, "manager1", f"docker node rm {old}")
    until(
        lab,
        "manager1",
        "docker node ls --format '{{.Hostname}} {{.Status}}'",
        "manager1 Ready\nworker1 Ready\nworker2 Ready",
    )


def test_a_service_is_spread_scaled_and_removed(lab):
    with service(lab, "web"):
        until(lab, "manager1", "docker service ls --format '{{.Name}} {{.Replicas}}'", "web 1/1")
        assert "web scaled to 3" in on(lab, "manager1", "docker service scale web=3")
        states = "docker service ps web --format '{{.Node}} {{.DesiredState}}' --filter desired-state=running"
        until(lab, "manager1", states, "manager1 Running\nworker1 Running\nworker2 Running")
        name = on(lab, "worker1", "docker ps --format '{{.Names}}' --filter label=com.docker.swarm.service.name=web")
        service_name, slot, task = name.split(".")
        assert (service_name, len(task)) == ("web", 25)
        assert slot in {"1", "2", "3"}


def test_a_container_that_somebody_removes_is_replaced(lab):
    with service(lab, "kept", "--replicas 1", "--constraint node.hostname==worker1", "--restart-delay 1s"):
        mine = "docker ps --quiet --no-trunc --filter label=com.docker.swarm.service.name=kept"
        old = on(lab, "worker1", mine)
        on(lab, "worker1", f"docker rm --force {old}")
        until(lab, "worker1", f"{mine} | grep --invert-match {old} | wc -l", "1")
        history = "docker service ps kept --format '{{.DesiredState}} {{.CurrentState}}' | cut -d ' ' -f 1-2"
        until(lab, "manager1", history, "Running Running\nShutdown Failed")


def test_tasks_leave_a_node_that_is_drained(lab):
    with service(lab, "moving", "--replicas 3"):
        on(lab, "manager1", "docker node update --availability drain worker2")
        try:
            until(lab, "worker2", "docker ps --quiet --filter label=com.docker.swarm.service.name=moving", "")
            until(lab, "manager1", "docker service ls --format '{{.Replicas}}' --filter name=moving", "3/3")
        finally:
            on(lab, "manager1", "docker node update --availability active worker2")


def test_tasks_outlive_the_daemon_and_the_engine(lab):
    with service(lab, "steady", "--constraint node.hostname==worker1"):
        mine = "docker ps --quiet --no-trunc --filter label=com.docker.swarm.service.name=steady"
        before = on(lab, "worker1", mine)
        on(lab, "worker1", "systemctl restart swarmd")
        on(lab, "worker1", "systemctl restart docker")
        until(lab, "manager1", "docker node ls --filter name=worker1 --format '{{.Status}}'", "Ready")
        assert on(lab, "worker1", mine) == before
        until(lab, "manager1", "docker service ps steady --quiet | wc -l", "1")


def test_without_its_only_manager_there_is_no_management_and_tasks_run_on(lab):
    with service(lab, "alone", "--constraint node.hostname==worker1"):
        mine = "docker ps --quiet --no-trunc --filter label=com.docker.swarm.service.name=alone"
        before = on(lab, "worker1", mine)
        must(run_provision("stop", "manager1", "--name", lab.name))
        try:
            refused(lab, "worker1", "docker node ls")
            assert on(lab, "worker1", mine) == before
        finally:
            must(run_provision("start", "manager1", "--name", lab.name))
        until(
            lab,
            "manager1",
            "docker node ls --format '{{.Hostname}} {{.Status}}'",
            "manager1 Ready\nworker1 Ready\nworker2 Ready",
        )
        assert on(lab, "worker1", mine) == before


def test_what_is_not_there_yet_is_said(lab):
    assert "not implemented by swarmd yet" in refused(lab, "manager1", "docker secret create x /etc/hostname")
    words = refused(lab, "manager1", "docker service create --detach --publish 8080:80 busybox")
    assert "EndpointSpec.Ports.PublishMode ingress is not implemented by swarmd yet" in words


def test_docker_works_through_the_front_as_ever(lab):
    assert on(lab, "worker1", "echo hello | docker run --rm --interactive --network none busybox cat") == "hello"
    assert on(lab, "worker1", "docker run --rm --network none busybox sh -c 'exit 3' || echo $?") == "3"
    on(lab, "worker1", "docker run --detach --name said --network none busybox sh -c 'echo one; echo two'")
    try:
        until(lab, "worker1", "docker logs --follow said", "one\ntwo")
        assert on(lab, "worker1", "docker save busybox | docker load").startswith("Loaded image: busybox")
    finally:
        on(lab, "worker1", "docker rm said")
