"""What the stock docker CLI tells on a host, as values.

Formats are given as templates: ``--format json`` alone is understood from Docker 23 on, Debian 12 has 20.10.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from testinfra.host import Host

from provisioner.suites.connection import everywhere, name_of, output

Json = dict[str, Any]


def json_lines(host: Host, text: str, *args: str) -> list[Json]:
    return [json.loads(line) for line in output(host, text, *args).splitlines()]


def info(host: Host) -> Json:
    """`docker info`: of the engine, and under "Swarm" of its part in the swarm."""
    answer: Json = json.loads(output(host, "docker info --format '{{json .}}'"))
    # The client ends with 0 when the engine does not answer, and says so here.
    if errors := answer.get("ServerErrors"):
        raise AssertionError(f"{name_of(host)}: Docker does not answer: {' '.join(errors)}")
    return answer


def nodes(manager: Host) -> list[Json]:
    """Every node of the swarm, as `docker node inspect` shows it."""
    # Two commands in one: a node that is removed between them is an error that says so.
    answer: list[Json] = json.loads(output(manager, "docker node inspect $(docker node ls --quiet)"))
    return answer


@dataclass(frozen=True)
class Task:
    """A line of `docker service ps`."""

    id: str
    name: str
    """<service>.<slot>, or <service>.<node id> of a global service."""
    node: str
    desired: str
    """The state that it shall have: Running, Shutdown, …"""
    state: str
    """The state that it has: Running, Preparing, Failed, …"""
    error: str

    @property
    def container(self) -> str:
        """The name of its container on its node."""
        return f"{self.name}.{self.id}"

    def __str__(self) -> str:
        told = f"{self.name} on {self.node or 'no node'} is {self.state}"
        return f"{told} ({self.error})" if self.error else told


def tasks(manager: Host, service: str) -> list[Task]:
    """All tasks of a service, the past ones included."""
    lines = json_lines(manager, "docker service ps --no-trunc --format '{{json .}}' %s", service)
    return [
        Task(
            id=line["ID"],
            # History is drawn as a tree: " \_ web.1".
            name=line["Name"].removeprefix("\\_").strip().removeprefix("\\_ "),
            node=line["Node"],
            desired=line["DesiredState"],
            state=line["CurrentState"].split()[0],
            error=line["Error"],
        )
        for line in lines
    ]


def running(seen: Sequence[Task]) -> list[Task]:
    """Those that run, and are meant to."""
    return [task for task in seen if task.desired == "Running" and task.state == "Running"]


def told(seen: Sequence[Task]) -> str:
    """Tasks as words."""
    return "; ".join(str(task) for task in seen) or "no tasks"


def containers(hosts: Mapping[str, Host], name: str) -> dict[str, list[str]]:
    """The names of running containers that begin like this: host -> names."""
    listing = "docker ps --filter name=%s --format '{{.Names}}'"
    return everywhere(hosts, lambda host: output(host, listing, f"^{name}").splitlines())
