"""The networks themselves, and containers attached to them."""

from __future__ import annotations

import ipaddress
import json

import pytest
from testinfra.host import Host

from provisioner.suites.capabilities import OVERLAY_NETWORKS
from provisioner.suites.connection import output
from provisioner.suites.overlay.conftest import Containers, Networks

pytestmark = pytest.mark.needs(OVERLAY_NETWORKS)


def test_created(networks: Networks, manager: Host) -> None:
    """An overlay network is there for the whole swarm, and containers may attach to it."""
    network = json.loads(output(manager, "docker network inspect %s", networks.first))[0]
    found = (network["Driver"], network["Scope"], network["Attachable"])
    assert found == ("overlay", "swarm", True), f"driver, scope and attachable are {found}"


def test_subnets(networks: Networks, manager: Host) -> None:
    """Two networks have subnets that do not overlap."""
    listing = json.loads(output(manager, "docker network inspect %s %s", networks.first, networks.other))
    one, other = (ipaddress.ip_network(network["IPAM"]["Config"][0]["Subnet"]) for network in listing)
    assert not one.overlaps(other), f"their subnets are {one} and {other}"


def test_address(host_name: str, containers: Containers, networks: Networks, manager: Host) -> None:
    """A container on {host_name} has an address of the network, and has it alone."""
    address = containers.first[host_name].address
    network = json.loads(output(manager, "docker network inspect %s", networks.first))[0]
    subnet = ipaddress.ip_network(network["IPAM"]["Config"][0]["Subnet"])
    assert ipaddress.ip_address(address) in subnet, f"{address} is not in the network's subnet {subnet}"
    same = [container.host for container in containers.first.values() if container.address == address]
    assert same == [host_name], f"{address} is the address of containers on {' and '.join(same)}"


def test_inspect(host: Host, host_name: str, containers: Containers, networks: Networks) -> None:
    """`docker network inspect` on {host_name} shows the container that is there."""
    network = json.loads(output(host, "docker network inspect %s", networks.first))[0]
    names = [entry["Name"] for entry in network["Containers"].values()]
    name = containers.first[host_name].name
    assert name in names, f"it shows {', '.join(names) or 'no containers'}, not {name}"
