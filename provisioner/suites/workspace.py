"""Where the suites put what they make on a lab: names of this run, one label on everything, taken away at the end."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from testinfra.host import Host

from provisioner.suites.connection import everywhere, output
from provisioner.suites.waiting import wait_until

LABEL = "provision.check"

_CONTAINERS = f"docker ps --all --quiet --filter label={LABEL} | xargs --no-run-if-empty docker rm --force --volumes"
_SERVICES = f"docker service ls --quiet --filter label={LABEL} | xargs --no-run-if-empty docker service rm"
_CONFIGS = f"docker config ls --quiet --filter label={LABEL} | xargs --no-run-if-empty docker config rm"
_NETWORKS = f"docker network ls --quiet --filter label={LABEL} --filter scope=swarm"

# Docker waits 2 s between taking a task off its networks and stopping it; a container may take 10 s to stop.
REMOVAL_SECONDS = 30


class Workspace:
    def __init__(self, hosts: Mapping[str, Host], manager: Host) -> None:
        self._hosts = hosts
        self._manager = manager
        self._run = secrets.token_hex(3)

    def name(self, what: str) -> str:
        """A name that no other run uses: check-4f21aa-web."""
        return f"check-{self._run}-{what}"

    def sweep(self) -> None:
        """Remove everything that carries the label: what this run made, and what one left that was killed.

        :raises AssertionError: something is still there after REMOVAL_SECONDS; the message says what keeps it.
        """
        output(self._manager, f"{_SERVICES}; {_CONFIGS}")
        everywhere(self._hosts, lambda host: output(host, _CONTAINERS))
        # A network goes when its last task has gone.
        wait_until(
            "the networks of the checks can be removed",
            lambda: output(self._manager, f"{_NETWORKS} | xargs --no-run-if-empty docker network rm 2>&1 || true"),
            lambda _: not output(self._manager, _NETWORKS),
            seconds=REMOVAL_SECONDS,
        )
