"""Every host in its place."""

from __future__ import annotations

from testinfra.host import Host

from provisioner.lab import HostSpec, LabSpec
from provisioner.suites.docker_cli import Json, nodes
from provisioner.suites.topology.conftest import Views


def test_member(host_name: str, memberships: Views) -> None:
    """{host_name} is a member of the swarm."""
    swarm = memberships.of(host_name)
    why = f": {swarm['Error']}" if swarm["Error"] else ""
    assert swarm["LocalNodeState"] == "active", f"{host_name} is {swarm['LocalNodeState']} in the swarm{why}"
    assert not swarm["Error"], f"{host_name} reports{why}"


def test_acts_in_its_role(host_name: str, host_spec: HostSpec, memberships: Views) -> None:
    """{host_name} acts in the role that the lab gives it."""
    acts = "manager" if memberships.of(host_name)["ControlAvailable"] else "worker"
    assert acts == host_spec.role, f"{host_name} should be a {host_spec.role}, it acts as a {acts}"


def test_listed_in_its_role(host_name: str, host_spec: HostSpec, node: Json) -> None:
    """The swarm lists {host_name} in the role that the lab gives it."""
    role = node["Spec"]["Role"]
    assert role == host_spec.role, f"the lab says that {host_name} is a {host_spec.role}, the swarm says {role}"


def test_ready(host_name: str, node: Json) -> None:
    """The swarm sees {host_name} ready."""
    status = node["Status"]
    why = f" ({status['Message']})" if status.get("Message") else ""
    assert status["State"] == "ready", f"{host_name} is {status['State']}{why}"


def test_availability(host_name: str, host_spec: HostSpec, node: Json) -> None:
    """{host_name} takes tasks as the lab says."""
    availability = node["Spec"]["Availability"]
    assert availability == host_spec.availability, (
        f"the availability of {host_name} is {availability}, the lab says {host_spec.availability}"
    )


def test_labels(host_name: str, host_spec: HostSpec, node: Json) -> None:
    """{host_name} has the node labels that the lab gives it."""
    labels = node["Spec"].get("Labels") or {}
    missing = {key: value for key, value in host_spec.labels.items() if labels.get(key) != value}
    assert not missing, f"{host_name} lacks the labels {missing}, it has {labels}"


def test_address(host_name: str, host_spec: HostSpec, node: Json) -> None:
    """The swarm reaches {host_name} by its address in the lab."""
    address = node["Status"]["Addr"]
    assert address == str(host_spec.address), f"the swarm knows {host_name} as {address} instead of {host_spec.address}"


def test_no_others(spec: LabSpec, manager: Host) -> None:
    """The swarm has the lab's hosts and no other nodes."""
    names = sorted(node["Description"]["Hostname"] for node in nodes(manager))
    assert names == sorted(host.name for host in spec.hosts), f"the nodes of the swarm are {', '.join(names)}"
