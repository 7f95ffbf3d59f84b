"""Services on an overlay network are found by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from testinfra.host import Host

from provisioner.lab import LabSpec
from provisioner.suites import docker_cli
from provisioner.suites.connection import output
from provisioner.suites.overlay.conftest import Containers
from provisioner.suites.waiting import wait_until

Ask = Callable[[str, str], list[str]]

# A task starts in about 2 s on a network; a machine that several labs share is slower.
START_SECONDS = 40

# The addresses of a name, from what stands below "Name:" in busybox's nslookup; then who answers at each.
_TASKS = r"""
for address in $(nslookup "$1" | sed -n '/^Name:/,$s/^Address.*[: ]\([0-9.]*\)$/\1/p'); do
    timeout 3 wget -q -O - "http://$address:8080/name"
done | sort -u
"""
_IN_TURN = 'for n in 1 2 3 4 5 6; do timeout 3 wget -q -O - "http://$1:8080/name"; done | sort -u'


@pytest.fixture(scope="package")
def with_tasks(spec: LabSpec) -> list[str]:
    """The hosts that take tasks."""
    return sorted(host.name for host in spec.hosts if host.availability == "active")


def wait_for_tasks(manager: Host, service: str, on: Sequence[str]) -> None:
    wait_until(
        f"{service} runs on {', '.join(on)}",
        lambda: docker_cli.tasks(manager, service),
        lambda tasks: sorted(task.node for task in tasks if task.state == "Running") == list(on),
        seconds=START_SECONDS,
        words=docker_cli.told,
    )


@pytest.fixture
def ask(host: Host, host_name: str, containers: Containers) -> Ask:
    """Run a script with a service's name in the container on a host: the hosts whose tasks answer."""
    container = containers.first[host_name].name
    return lambda script, name: output(host, "docker exec %s sh -c %s sh %s", container, script, name).split()


def test_dnsrr(host_name: str, manager: Host, ask: Ask, dnsrr_service: str, with_tasks: list[str]) -> None:
    """A container on {host_name} finds all tasks of a dnsrr service by its name."""
    wait_for_tasks(manager, dnsrr_service, with_tasks)
    wait_until(
        f"{host_name} finds the tasks on {', '.join(with_tasks)}",
        lambda: ask(_TASKS, dnsrr_service),
        lambda answers: answers == with_tasks,
        seconds=10,
        words=lambda answers: f"{', '.join(answers) or 'nobody'} answers",
    )


@pytest.mark.needs("ip_vs", engine="docker")
def test_virtual_ip(host_name: str, manager: Host, ask: Ask, vip_service: str, with_tasks: list[str]) -> None:
    """A container on {host_name} reaches the tasks of a service by its virtual IP."""
    wait_for_tasks(manager, vip_service, with_tasks)
    wait_until(
        f"{host_name} reaches the tasks on {', '.join(with_tasks)} by one name",
        lambda: ask(_IN_TURN, vip_service),
        lambda answers: len(answers) >= min(len(with_tasks), 2),
        seconds=10,
        words=lambda answers: f"{', '.join(answers) or 'nobody'} answers",
    )
