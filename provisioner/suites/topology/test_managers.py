"""The managers among themselves: one leader, all reachable, a quorum, writes that all of them have."""

from __future__ import annotations

from collections.abc import Mapping

from testinfra.host import Host

from provisioner.lab import LabSpec, majority, tolerated_losses
from provisioner.suites.connection import everywhere, output
from provisioner.suites.docker_cli import Json
from provisioner.suites.topology.conftest import Views
from provisioner.suites.waiting import wait_until
from provisioner.suites.workspace import LABEL, Workspace

# Followers apply a write when the leader's next message tells them that it is committed: within 1 s (Raft's tick).
REPLICATION_SECONDS = 10


def leaders(nodes: Mapping[str, Json]) -> list[str]:
    return [name for name, node in nodes.items() if node.get("ManagerStatus", {}).get("Leader")]


def reachable(nodes: Mapping[str, Json]) -> list[str]:
    return [name for name, node in nodes.items() if node.get("ManagerStatus", {}).get("Reachability") == "reachable"]


def test_one_leader(listings: Views) -> None:
    """Exactly one manager leads."""
    leading = leaders(listings.first())
    assert len(leading) == 1, f"the leaders are {', '.join(leading) or 'none'}"


def test_same_leader(manager_name: str, listings: Views) -> None:
    """{manager_name} follows the leader that the other managers follow."""
    here, first = leaders(listings.of(manager_name)), leaders(listings.first())
    assert here == first, f"{manager_name} says that {here or 'nobody'} leads, another manager says {first}"


def test_reachable(manager_name: str, listings: Views) -> None:
    """The other managers reach {manager_name}."""
    status = listings.first().get(manager_name, {}).get("ManagerStatus")
    assert status is not None, f"{manager_name} is no manager in the swarm's list of nodes"
    assert status["Reachability"] == "reachable", f"{manager_name} at {status['Addr']} is {status['Reachability']}"


def test_raft_address(manager_name: str, spec: LabSpec, listings: Views) -> None:
    """{manager_name} takes part in Raft at its address in the lab."""
    address = listings.first().get(manager_name, {}).get("ManagerStatus", {}).get("Addr", "none")
    expected = f"{spec.host(manager_name).address}:2377"
    assert address == expected, f"{manager_name} is reached at {address} instead of {expected}"


def test_quorum(spec: LabSpec, listings: Views) -> None:
    """The swarm tolerates the loss of as many managers as its number allows."""
    count = len(spec.managers)
    there = len(reachable(listings.first()))
    spare = there - majority(count)
    words = f"{count} managers, {there} reachable: "
    words += f"tolerates {spare} more" if spare >= 0 else f"no quorum ({majority(count)} needed)"
    assert spare == tolerated_losses(count), f"{words}; it should tolerate {tolerated_losses(count)}"


def test_counts(manager_name: str, spec: LabSpec, memberships: Views) -> None:
    """{manager_name} counts the lab's nodes and managers."""
    swarm = memberships.of(manager_name)
    counted, expected = (swarm["Nodes"], swarm["Managers"]), (len(spec.hosts), len(spec.managers))
    assert counted == expected, f"{manager_name} counts nodes and managers as {counted}, the lab has {expected}"


def test_writes(manager_name: str, each_manager: Host, managers: Mapping[str, Host], workspace: Workspace) -> None:
    """A write through {manager_name} is accepted, and read on every manager."""
    name = workspace.name(manager_name)
    output(each_manager, f"echo x | docker config create --label {LABEL} %s -", name)

    def without() -> list[str]:
        listing = everywhere(managers, lambda host: output(host, "docker config ls --format '{{.Name}}'").split())
        return [manager for manager, names in listing.items() if name not in names]

    wait_until(
        f"every manager has what {manager_name} accepted",
        without,
        lambda missing: not missing,
        seconds=REPLICATION_SECONDS,
        words=lambda missing: f"it is not on {', '.join(missing)}",
    )
    output(each_manager, "docker config rm %s", name)
