"""What every host and every manager says of the swarm, asked once for the suite, of all at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from testinfra.host import Host

from provisioner.suites import docker_cli
from provisioner.suites.connection import everywhere
from provisioner.suites.docker_cli import Json


@dataclass(frozen=True)
class Views:
    """Answers by host. One that gave none fails the checks that ask for it, and only those."""

    answers: Mapping[str, Any]

    def of(self, name: str) -> Any:  # noqa: ANN401 (JSON)
        answer = self.answers[name]
        if isinstance(answer, AssertionError):
            raise answer.with_traceback(None)
        return answer

    def first(self) -> Any:  # noqa: ANN401
        """The first that there is."""
        given = [answer for answer in self.answers.values() if not isinstance(answer, AssertionError)]
        return given[0] if given else self.of(next(iter(self.answers)))


def _ask(hosts: Mapping[str, Host], question: Callable[[Host], Any]) -> Views:
    def ask(host: Host) -> Any:  # noqa: ANN401
        try:
            return question(host)
        except AssertionError as error:
            return error

    return Views(everywhere(hosts, ask))


@pytest.fixture(scope="package")
def memberships(hosts: Mapping[str, Host]) -> Views:
    """`docker info`'s part about the swarm, by host."""
    return _ask(hosts, lambda host: docker_cli.info(host)["Swarm"])


@pytest.fixture(scope="package")
def listings(managers: Mapping[str, Host]) -> Views:
    """The swarm's nodes, by the manager that was asked: hostname -> node."""

    def nodes(manager: Host) -> dict[str, Json]:
        # A host that left and joined again is there twice; the one that is alive counts.
        ordered = sorted(docker_cli.nodes(manager), key=lambda node: bool(node["Status"]["State"] == "ready"))
        return {node["Description"]["Hostname"]: node for node in ordered}

    return _ask(managers, nodes)


@pytest.fixture
def node(host_name: str, listings: Views) -> Json:
    """A host as the swarm knows it."""
    nodes: dict[str, Json] = listings.first()
    if host_name not in nodes:
        raise AssertionError(f"the swarm has no node {host_name}, it has {', '.join(sorted(nodes))}")
    return nodes[host_name]
