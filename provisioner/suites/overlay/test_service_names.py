"""Services on an overlay network are found by their names."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import pytest
from testinfra.host import Host

from provisioner.lab import LabSpec
from provisioner.suites import docker_cli
from provisioner.suites.capabilities import OVERLAY_NETWORKS
from provisioner.suites.connection import everywhere, name_of, output
from provisioner.suites.overlay.conftest import Containers
from provisioner.suites.waiting import patient, wait_until

pytestmark = pytest.mark.needs(OVERLAY_NETWORKS)

Answers = dict[str, list[str]]
"""By the host that asks."""

# A task starts in about 2 s on a network; a machine that several labs share is slower.
START_SECONDS = 40
SETTLE_SECONDS = 10

# The addresses of a name, from what stands below "Name:" in busybox's nslookup; then who answers at each.
_ALL = r"""
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


def who_answers(hosts: Mapping[str, Host], containers: Containers, script: str, service: str) -> Answers:
    """From the container on each host: the hosts whose tasks answer to the service's name."""

    def ask(host: Host) -> list[str]:
        container = containers.first[name_of(host)].name
        return output(host, "docker exec %s sh -c %s sh %s", container, script, service).split()

    return everywhere(hosts, ask)


def settled(observe: Callable[[], Answers], holds: Callable[[list[str]], bool]) -> Answers:
    """The answers once they hold on every host, or the last ones: each host has a check of its own for them."""
    end = time.monotonic() + patient(SETTLE_SECONDS)
    while True:
        answers = observe()
        if all(map(holds, answers.values())) or time.monotonic() >= end:
            return answers
        time.sleep(0.2)


@pytest.fixture(scope="package")
def by_dnsrr(
    manager: Host, hosts: Mapping[str, Host], containers: Containers, dnsrr_service: str, with_tasks: list[str]
) -> Answers:
    wait_for_tasks(manager, dnsrr_service, with_tasks)
    return settled(lambda: who_answers(hosts, containers, _ALL, dnsrr_service), lambda answers: answers == with_tasks)


@pytest.fixture(scope="package")
def by_virtual_ip(
    manager: Host, hosts: Mapping[str, Host], containers: Containers, vip_service: str, with_tasks: list[str]
) -> Answers:
    wait_for_tasks(manager, vip_service, with_tasks)
    several = min(len(with_tasks), 2)
    return settled(lambda: who_answers(hosts, containers, _IN_TURN, vip_service), lambda a: len(a) >= several)


def test_dnsrr(host_name: str, by_dnsrr: Answers, with_tasks: list[str], dnsrr_service: str) -> None:
    """A container on {host_name} finds all tasks of a dnsrr service by its name."""
    answers = by_dnsrr[host_name]
    assert answers == with_tasks, (
        f"to {dnsrr_service}, called from {host_name}, tasks on {' and '.join(answers) or 'no host'} answer; "
        f"there are tasks on {', '.join(with_tasks)}"
    )


@pytest.mark.needs("ip_vs", engine="docker")
def test_virtual_ip(host_name: str, by_virtual_ip: Answers, with_tasks: list[str], vip_service: str) -> None:
    """A container on {host_name} reaches the tasks of a service in turn by its virtual IP."""
    answers = by_virtual_ip[host_name]
    assert len(answers) >= min(len(with_tasks), 2), (
        f"to six calls of {vip_service} from {host_name}, tasks on {' and '.join(answers) or 'no host'} answered; "
        f"there are tasks on {', '.join(with_tasks)}"
    )
