"""A published port is open on every host, wherever the tasks run: the routing mesh."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from provisioner.lab import HostSpec
from provisioner.suites.capabilities import ROUTING_MESH
from provisioner.suites.connection import output
from provisioner.suites.docker_cli import running, tasks, told
from provisioner.suites.waiting import wait_until
from provisioner.suites.workspace import SERVICE_LABELS, Workspace

START_SECONDS = 40
ANSWER_SECONDS = 15

_SERVE = "mkdir -p /www && echo here >/www/index.html && exec httpd -f -p 8080 -h /www"
_FETCH = "python3 -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=3).read().decode())' %s"


@pytest.fixture(scope="module")
def port(workspace: Workspace, manager: Host) -> Iterator[int]:
    """A port with one task behind it, so that all hosts but one must pass on what they get."""
    # Below 30000, where swarm mode picks ports by itself.
    chosen = random.randrange(20000, 30000)  # noqa: S311 (not a secret)
    name = workspace.name("published")
    output(
        manager,
        f"docker service create --detach --quiet {SERVICE_LABELS} --name %s --publish {chosen}:8080 busybox sh -c %s",
        name,
        _SERVE,
    )
    wait_until(
        f"{name} runs",
        lambda: tasks(manager, name),
        lambda seen: len(running(seen)) == 1,
        seconds=START_SECONDS,
        words=told,
    )
    yield chosen
    output(manager, "docker service rm %s", name)


@pytest.mark.needs(ROUTING_MESH)
@pytest.mark.needs("ip_vs", engine="docker")
def test_every_host_answers(host_name: str, host_spec: HostSpec, port: int, manager: Host) -> None:
    """A published port answers on {host_name}, wherever the task runs."""
    url = f"http://{host_spec.address}:{port}/"
    wait_until(
        f"{url} answers",
        lambda: manager.run(_FETCH, url),
        lambda done: done.stdout.strip() == "here",
        seconds=ANSWER_SECONDS,
        words=lambda done: done.stdout.strip() or done.stderr.strip().splitlines()[-1],
    )
