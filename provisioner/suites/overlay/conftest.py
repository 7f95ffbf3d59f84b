"""Two attachable overlay networks: a container on every host in the first, on the first and last host in the second."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from testinfra.host import Host

from provisioner.lab import LabSpec
from provisioner.suites import docker_cli
from provisioner.suites.connection import everywhere, name_of, output
from provisioner.suites.overlay.observing import SERVE, SETTLE_SECONDS, Container, Sights, observe
from provisioner.suites.waiting import patient
from provisioner.suites.workspace import LABEL, SERVICE_LABELS, Workspace

_CREATE = f"docker network create --driver overlay --attachable --label {LABEL} %s"
_SERVICE = (
    f"docker service create --detach --quiet --mode global --endpoint-mode %s --name %s {SERVICE_LABELS} "
    "--network %s --hostname '{{.Node.Hostname}}' busybox sh -c %s"
)
_RUN = f"docker run --detach --name %s --label {LABEL} --network %s busybox sh -c %s sh %s"
_ADDRESS = "docker inspect --format %s %s"


@dataclass(frozen=True)
class Networks:
    first: str
    other: str


@dataclass(frozen=True)
class Containers:
    """By host."""

    first: Mapping[str, Container]
    other: Mapping[str, Container]


@pytest.fixture(scope="package")
def networks(workspace: Workspace, manager: Host) -> Networks:
    both = Networks(workspace.name("first"), workspace.name("other"))
    for network in (both.first, both.other):
        output(manager, _CREATE, network)
    return both


@pytest.fixture(scope="package")
def dnsrr_service(networks: Networks, workspace: Workspace, manager: Host) -> str:
    """A service with a task on every host that takes tasks, in the first network; it has no virtual IP."""
    name = workspace.name("dnsrr")
    output(manager, _SERVICE, "dnsrr", name, networks.first, SERVE)
    return name


@pytest.fixture(scope="package")
def vip_service(networks: Networks, workspace: Workspace, manager: Host) -> str:
    name = workspace.name("vip")
    output(manager, _SERVICE, "vip", name, networks.first, SERVE)
    return name


@pytest.fixture(scope="package")
def containers(
    networks: Networks,
    dnsrr_service: str,  # its tasks start while the containers do
    workspace: Workspace,
    hosts: Mapping[str, Host],
    spec: LabSpec,
) -> Containers:
    ends = {spec.hosts[0].name, spec.hosts[-1].name}

    def start(host: Host, what: str, network: str) -> Container:
        name = workspace.name(f"{what}-{name_of(host)}")
        output(host, _RUN, name, network, SERVE, name_of(host), timeout=60)
        template = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
        return Container(name, name_of(host), output(host, _ADDRESS, template, name))

    def start_both(host: Host) -> tuple[Container, Container | None]:
        first = start(host, "first", networks.first)
        return first, start(host, "other", networks.other) if name_of(host) in ends else None

    started = everywhere(hosts, start_both)
    return Containers(
        first={name: first for name, (first, _) in started.items()},
        other={name: other for name, (_, other) in started.items() if other},
    )


@pytest.fixture(scope="package")
def sights(containers: Containers, hosts: Mapping[str, Host]) -> Sights:
    """What the containers of the first network see of each other, once all is well or the time is up."""
    return _settled(hosts, containers.first, seconds=SETTLE_SECONDS)


@pytest.fixture(scope="package")
def other_sights(containers: Containers, hosts: Mapping[str, Host], sights: Sights) -> Sights:
    """The same in the other network."""
    seconds = SETTLE_SECONDS if sights.all_well() else 0  # what has just lasted too long needs no second wait
    return _settled(hosts, containers.other, seconds=seconds)


def _settled(hosts: Mapping[str, Host], containers: Mapping[str, Container], *, seconds: float) -> Sights:
    end = time.monotonic() + patient(seconds)
    while True:
        seen = observe(hosts, containers, containers)
        if seen.all_well() or time.monotonic() >= end:
            return seen
        time.sleep(0.2)


@pytest.fixture(scope="package")
def data_path_port(manager: Host) -> int:
    """The UDP port of VXLAN: 4789 unless `docker swarm init --data-path-port` said otherwise."""
    cluster = docker_cli.info(manager)["Swarm"]["Cluster"]
    return int(cluster["DataPathPort"])
