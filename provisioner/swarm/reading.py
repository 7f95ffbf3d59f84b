"""Ask all hosts at once what they know of the swarm.

A swarm without a leader makes its managers' calls hang for up to 20 s (swarmkit's request time-out), so each call has
a short deadline of its own, and what a host did not answer is part of the picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioner.machines import Machine
from provisioner.swarm.connection import connect, reason
from provisioner.swarm.model import Answer, Membership, Node, Quorum, Swarm, Task

if TYPE_CHECKING:
    import docker

TIMEOUT = 2.0


@dataclass
class _Reply:
    machine: Machine
    answer: Answer
    nodes: Sequence[dict[str, Any]] = ()
    tasks: Sequence[dict[str, Any]] = ()
    services: Sequence[dict[str, Any]] = ()


def read(machines: Sequence[Machine], timeout: float = TIMEOUT) -> Swarm:
    """Ask every running machine at the same time; the fullest answer names the nodes.

    :param timeout: seconds that a single call may be silent; without a leader the whole takes about twice that.
    """
    with ThreadPoolExecutor(max_workers=max(1, len(machines))) as pool:
        replies = list(pool.map(lambda machine: _ask(machine, timeout), machines))
        answers = tuple(reply.answer for reply in replies)
        view = max(replies, key=lambda reply: len(reply.nodes), default=None)
        if view is not None and view.nodes:
            nodes = tuple(sorted((_node(raw) for raw in view.nodes), key=lambda node: _natural(node.hostname)))
            return Swarm(answers, nodes, _tasks(view), _quorum_by_nodes(nodes, answers))
        told = list(pool.map(lambda reply: _remote_managers(reply, timeout), replies))
    return Swarm(answers, (), (), _quorum_by_hosts(replies, told))


def _ask(machine: Machine, timeout: float) -> _Reply:
    name = machine.name
    if machine.state != "running":
        return _Reply(machine, Answer(name, "stopped", f"the machine is {machine.state}"))
    membership: Membership = "silent"
    try:
        with connect(machine, timeout) as client:
            membership, state = _membership(client)
            reply = _Reply(machine, Answer(name, membership, state))
            if membership == "manager":
                reply.nodes = client.nodes()
                reply.tasks = client.tasks(filters={"desired-state": ["running"]})
                reply.services = client.services()
            return reply
    except Exception as error:  # whatever went wrong is this host's answer
        return _Reply(machine, Answer(name, membership, reason(error)))


def _membership(client: docker.APIClient) -> tuple[Membership, str]:
    """With Docker's word for a host that is neither in a swarm nor out of it: pending, error, locked."""
    # /info asks the leader and hangs without one; /_ping does not, but tells only from API 1.42 on.
    state = client.get(f"{client.base_url}/_ping", timeout=client.timeout).headers.get("Swarm")
    if state is None:
        swarm = client.info()["Swarm"]
        state = f"{swarm['LocalNodeState']}/{'manager' if swarm.get('ControlAvailable') else 'worker'}"
    if state == "active/manager":
        return "manager", ""
    if state == "active/worker":
        return "worker", ""
    word = state.partition("/")[0]
    return "inactive", "" if word == "inactive" else f"Docker says {word}"


def _remote_managers(reply: _Reply, timeout: float) -> set[str]:
    """The addresses of all managers, which each member keeps to find its way back to them."""
    if reply.answer.membership not in ("manager", "worker"):
        return set()
    try:
        with connect(reply.machine, timeout) as client:
            known = client.info()["Swarm"].get("RemoteManagers") or []
    except Exception:  # the others are asked as well
        return set()
    return {str(manager["Addr"]).rpartition(":")[0] for manager in known}


def _quorum_by_nodes(nodes: Sequence[Node], answers: Sequence[Answer]) -> Quorum:
    managers = [node for node in nodes if node.reachability]
    stopped = {answer.host for answer in answers if answer.membership == "stopped"}
    # The managers take some seconds to miss one that lost its power; this machine knows at once.
    reachable = [
        node.hostname for node in managers if node.reachability == "reachable" and node.hostname not in stopped
    ]
    return Quorum(
        managers=tuple(node.hostname for node in managers),
        reachable=tuple(reachable),
        stopped=tuple(node.hostname for node in managers if node.hostname in stopped),
        leader=next((node.hostname for node in managers if node.leader), ""),
    )


def _quorum_by_hosts(replies: Sequence[_Reply], told: Sequence[set[str]]) -> Quorum:
    """Nobody could name the nodes: count the hosts that are managers by their own or their peers' word.

    Where no peer tells (they hang for a while after a loss), the spec's roles are the best guess.
    """
    addresses = max(told, key=len, default=set())
    managers: list[_Reply] = []
    for reply in replies:
        spec, membership = reply.machine.spec, reply.answer.membership
        listed = str(spec.address) in addresses if addresses else spec.role == "manager"
        if membership == "manager" or (listed and membership in ("silent", "stopped")):
            managers.append(reply)
    if not any(reply.answer.membership in ("manager", "worker", "stopped") for reply in managers):
        active = any(reply.answer.membership == "worker" for reply in replies)
        managers = managers if active else []
    return Quorum(
        managers=tuple(reply.machine.name for reply in managers),
        reachable=tuple(reply.machine.name for reply in managers if reply.answer.membership == "manager"),
        stopped=tuple(reply.machine.name for reply in managers if reply.answer.membership == "stopped"),
    )


def _node(raw: dict[str, Any]) -> Node:
    manager = raw.get("ManagerStatus") or {}
    return Node(
        id=raw["ID"],
        hostname=raw["Description"].get("Hostname", ""),
        role=raw["Spec"]["Role"],
        availability=raw["Spec"]["Availability"],
        status=raw["Status"]["State"],
        leader=bool(manager.get("Leader")),
        reachability=manager.get("Reachability", ""),
        address=raw["Status"].get("Addr", ""),
        engine=raw["Description"].get("Engine", {}).get("EngineVersion", ""),
        labels=raw["Spec"].get("Labels") or {},
    )


def _tasks(view: _Reply) -> tuple[Task, ...]:
    services = {raw["ID"]: raw["Spec"]["Name"] for raw in view.services}
    hosts = {raw["ID"]: raw["Description"].get("Hostname", "") for raw in view.nodes}
    tasks = [
        Task(
            id=raw["ID"],
            service=services.get(raw.get("ServiceID", ""), raw.get("ServiceID", "")),
            slot=raw.get("Slot", 0),
            host=hosts.get(raw.get("NodeID", ""), ""),
            state=raw["Status"]["State"],
            container=raw["Status"].get("ContainerStatus", {}).get("ContainerID", ""),
        )
        for raw in view.tasks
    ]
    return tuple(sorted(tasks, key=lambda task: (task.service, task.slot, task.host)))


def _natural(name: str) -> tuple[str, int]:
    """manager10 comes after manager9."""
    match = re.fullmatch(r"(.*?)(\d*)", name)
    assert match  # noqa: S101 (the pattern takes any text)
    return match[1], int(match[2] or 0)
