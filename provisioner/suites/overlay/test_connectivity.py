"""Containers on different hosts reach each other, each way, by each means."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from testinfra.host import Host

from provisioner.lab import LabSpec
from provisioner.suites.capabilities import OVERLAY_NETWORKS
from provisioner.suites.overlay.conftest import Containers
from provisioner.suites.overlay.observing import MEGABYTE_MD5, NOTHING_MD5, Sights

pytestmark = pytest.mark.needs(OVERLAY_NETWORKS)

GOSSIP_PORT = 7946
Why = Callable[[str, str], str]

_PING = "ping -c 1 -W 2 -q %s"
_CONNECT = "python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)' %s %s"


@pytest.fixture(scope="package")
def why(hosts: Mapping[str, Host], spec: LabSpec, containers: Containers, data_path_port: int) -> Why:
    """What else is known of the way between two hosts: the part of it that is left is the cause."""
    known: dict[tuple[str, str], str] = {}

    def look(source: str, target: str) -> str:
        address = str(spec.host(target).address)
        if hosts[source].run(_PING, address).rc != 0:
            return f"{target} does not answer {source} at {address} either: the way between the hosts is cut"
        if hosts[source].run(_CONNECT, address, str(GOSSIP_PORT)).rc != 0:
            return (
                f"TCP {GOSSIP_PORT} of {target} is closed for {source}: the engines cannot tell each other who is where"
            )
        return (
            f"the hosts themselves reach each other, on TCP {GOSSIP_PORT} too, "
            f"so UDP {data_path_port} (VXLAN) is cut between {source} and {target}, or the engine set up no tunnel"
        )

    def explain(source: str, target: str) -> str:
        if (source, target) not in known:
            known[source, target] = look(source, target)
        return known[source, target]

    return explain


def test_by_address(source: str, target: str, containers: Containers, sights: Sights, why: Why) -> None:
    """A container on {source} reaches one on {target} by address."""
    answer = sights.pairs[source, target].address
    address = containers.first[target].address
    assert answer == target, f"{address} on {target} answers {source} with {answer or 'nothing'}; {why(source, target)}"


def test_by_name(source: str, target: str, containers: Containers, sights: Sights) -> None:
    """A container on {source} reaches one on {target} by name."""
    answer = sights.pairs[source, target].name
    name = containers.first[target].name
    by_address = "it answers" if sights.pairs[source, target].address == target else "it does not answer either"
    assert answer == target, f"{name} answers {source} with {answer or 'nothing'} (by its address {by_address})"


def test_full_size_packet(source: str, target: str, sights: Sights) -> None:
    """A packet of the network's full size gets from {source} to {target} and back."""
    answer = sights.pairs[source, target].packet
    small = "small ones get through: is the MTU of the hosts' network below 1500?"
    if sights.pairs[source, target].address != target:
        small = "small ones are lost as well"
    assert answer == "bytes from", (
        f"the packet was lost between {source} and {target} ({answer or 'no answer'}); {small}"
    )


def test_megabyte(source: str, target: str, sights: Sights) -> None:
    """A megabyte arrives from {target} on {source} as it was sent."""
    answer = sights.pairs[source, target].megabyte
    came = "nothing" if answer in ("", NOTHING_MD5) else f"something else (MD5 {answer})"
    assert answer == MEGABYTE_MD5, f"{source} got {came} when {target} sent a megabyte over TCP"
