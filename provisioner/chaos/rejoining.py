"""Hosts of a cluster that is no more join the new one.

A manager that was off while the others made a new cluster still believes in the old one. Two of three such managers
are a majority of the old cluster: started together they would bring it back beside the new one. So each is started
alone, leaves, and joins, before the next is started.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from provisioner.errors import ProvisionError
from provisioner.lab import HostSpec, LabSpec
from provisioner.machines import Machine, Provider
from provisioner.progress import Progress
from provisioner.swarm import connect, reason

if TYPE_CHECKING:
    import docker

T = TypeVar("T")

# Swarmkit waits 20 s for an answer of the cluster that a node joins.
TIMEOUT = 30.0
DEADLINE = 60.0
INTERVAL = 0.5
PORT = 2377
STILL_JOINING = ("Timeout was reached before node joined", "already part of a swarm")
NOT_A_MEMBER = "This node is not part of a swarm"


def rejoin_all(spec: LabSpec, provider: Provider, survivor: str, progress: Progress) -> None:
    """Bring every host that is off into the survivor's cluster, with the role, labels and availability of the spec.

    :raises ProvisionError: a host does not come up, or cannot join.
    """
    keeper = _machine(provider, survivor)
    for host in spec.hosts:
        if host.name == survivor:  # it holds the only copy of the cluster's state
            continue
        if _machine(provider, host.name).state != "running":
            _forget(keeper, host.name)
            if failures := provider.start([host.name], progress):
                raise ProvisionError(f"{host.name} did not start again: {failures[host.name]}")
        elif _becomes_ready(keeper, host.name):
            continue
        progress.host(host.name, "joining the new cluster")
        _join(spec, host, _machine(provider, host.name), keeper)


def _join(spec: LabSpec, host: HostSpec, machine: Machine, survivor: Machine) -> None:
    _leave(machine)
    _forget(survivor, host.name)
    with connect(survivor, TIMEOUT) as client:
        token = client.inspect_swarm()["JoinTokens"][host.role.capitalize()]
    address = str(spec.host(survivor.name).address)

    def join() -> None:
        with connect(machine, TIMEOUT) as client:
            try:
                client.join_swarm([f"{address}:{PORT}"], token, advertise_addr=str(host.address))
            except Exception as error:  # 20.10 gives up after 20 s, and goes on joining all the same
                if not any(words in reason(error) for words in STILL_JOINING):
                    # Without the cause: pytest would write its calls into the log, with the token as an argument.
                    raise ProvisionError(reason(error)) from None
        if not _is_ready(survivor, machine.name):
            raise ProvisionError(f"{survivor.name} does not list {host.name} as Ready")

    _retry(f"{host.name} joins {survivor.name}", join)
    _retry(f"{host.name} gets its labels", lambda: _describe(host, survivor))


def _leave(machine: Machine) -> None:
    # Not asked first whether it is a member: without a leader that question takes Docker 20 s.
    with connect(machine, TIMEOUT) as client:
        try:
            client.leave_swarm(force=True)
        except Exception as error:
            if not reason(error).startswith(NOT_A_MEMBER):
                raise ProvisionError(f"{machine.name} does not leave the old cluster: {reason(error)}") from error


def _describe(host: HostSpec, survivor: Machine) -> None:
    with connect(survivor, TIMEOUT) as client:
        for node in _nodes(client.nodes(), host.name):
            _update(client, node, Role=host.role, Labels=dict(host.labels), Availability=host.availability)


def _forget(survivor: Machine, name: str) -> None:
    """Take a host's dead entries out of the cluster.

    Docker removes a manager only after its demotion, and demotes only members of the Raft group. A manager of the old
    cluster is no member of the new group: it is removed as it is.
    """

    def forget() -> None:
        with connect(survivor, TIMEOUT) as client:
            for node in _nodes(client.nodes(), name):
                if node["Status"]["State"] == "ready":
                    raise ProvisionError(f"{name} is still called Ready")
                if node.get("ManagerStatus"):
                    _update(client, node, Role="worker")
                client.remove_node(node["ID"], force=True)

    _retry(f"{survivor.name} forgets the old {name}", forget)


def _update(client: docker.APIClient, node: dict[str, Any], **changes: object) -> None:
    spec: Any = {**node["Spec"], **changes}
    client.update_node(node["ID"], node["Version"]["Index"], spec)


def _nodes(nodes: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [node for node in nodes if node["Description"].get("Hostname") == name]


def _becomes_ready(survivor: Machine, name: str) -> bool:
    """Whether a host that is on belongs to the cluster: only one that certainly does not may be told to leave.

    A worker that stayed on finds its way to the new cluster within about 20 s.

    :raises ProvisionError: the survivor does not name the nodes.
    """
    deadline = time.monotonic() + DEADLINE
    while True:
        known = _retry(f"{survivor.name} names the nodes", lambda: _states(survivor, name))
        if "ready" in known:
            return True
        if not known or time.monotonic() > deadline:
            return False
        time.sleep(INTERVAL)


def _is_ready(survivor: Machine, name: str) -> bool:
    return "ready" in _states(survivor, name)


def _states(survivor: Machine, name: str) -> list[str]:
    """The states of a host's entries, by the survivor's word: an old manager may name the nodes of the old cluster."""
    with connect(survivor, TIMEOUT) as client:
        return [str(node["Status"]["State"]) for node in _nodes(client.nodes(), name)]


def _machine(provider: Provider, name: str) -> Machine:
    return next(machine for machine in provider.machines() if machine.name == name)


def _retry(what: str, act: Callable[[], T]) -> T:
    """Repeat what the cluster refuses while it settles: a demotion takes effect within seconds, a join may race it.

    :raises ProvisionError: refused for DEADLINE seconds; the message has the last refusal.
    """
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return act()
        except Exception as error:  # any refusal; which ones pass by themselves differs by engine
            if time.monotonic() > deadline:
                raise ProvisionError(f"{what}: not within {DEADLINE:g} s; the last refusal: {reason(error)}") from error
        time.sleep(INTERVAL)
