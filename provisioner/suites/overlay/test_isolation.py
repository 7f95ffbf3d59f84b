"""One overlay network is closed to the containers of another."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from testinfra.host import Host

from provisioner.suites.capabilities import OVERLAY_NETWORKS
from provisioner.suites.overlay.conftest import Containers
from provisioner.suites.overlay.observing import Sights, observe

pytestmark = pytest.mark.needs(OVERLAY_NETWORKS)


def unanswered(sights: Sights) -> str:
    return "; ".join(
        f"{target} answers {source} with {sight.address or 'nothing'}"
        for (source, target), sight in sights.pairs.items()
        if sight.address != target
    )


@pytest.fixture(scope="package")
def across(containers: Containers, hosts: Mapping[str, Host], other_sights: Sights) -> Sights:
    """What containers of the first network see of those of the other one."""
    if lost := unanswered(other_sights):
        # Silence would prove nothing.
        raise AssertionError(f"whether the second network is closed cannot be told, it does not work: {lost}")
    return observe(hosts, containers.first, containers.other)


def test_other_network_works(containers: Containers, other_sights: Sights) -> None:
    """Containers of a second network reach each other, while the first is in use."""
    if len(containers.other) < 2:
        pytest.skip("one host")
    lost = unanswered(other_sights)
    assert not lost, f"in the second network {lost}"


def test_by_address(host_name: str, across: Sights, containers: Containers) -> None:
    """A container on {host_name} does not reach another network by address."""
    reached = [
        f"{containers.other[target].address} on {target}"
        for target, sight in across.from_host(host_name).items()
        if sight.address == target
    ]
    assert not reached, f"from {host_name} it reaches {' and '.join(reached)}"


def test_by_name(host_name: str, across: Sights, containers: Containers) -> None:
    """A container on {host_name} does not reach another network by name."""
    reached = [
        f"{containers.other[target].name} on {target}"
        for target, sight in across.from_host(host_name).items()
        if sight.name == target
    ]
    assert not reached, f"from {host_name} it reaches {' and '.join(reached)}"
