"""Where the suites put what they make on a lab: names of this run, one label on everything, taken away at the end."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from testinfra.host import Host

from provisioner.suites.connection import everywhere, output
from provisioner.suites.waiting import wait_until

LABEL = "provision.check"
SERVICE_LABELS = f"--label {LABEL} --container-label {LABEL}"
"""For `docker service create`: the containers of its tasks outlive a removed service for some seconds."""

_LEFT = f"docker ps --all --quiet --filter label={LABEL}"
_REMOVE = f"{_LEFT} | xargs --no-run-if-empty docker rm --force --volumes 2>&1 || true"

# On a manager: services first, then what they use. A network goes when its last task has gone.
_LEFT_IN_SWARM = "; ".join(
    f"docker {kind} ls --quiet --filter label={LABEL}{more}"
    for kind, more in (("service", ""), ("config", ""), ("network", " --filter scope=swarm"))
)
_REMOVE_IN_SWARM = "; ".join(
    f"docker {kind} ls --quiet --filter label={LABEL}{more} | xargs --no-run-if-empty docker {kind} rm 2>&1"
    for kind, more in (("service", ""), ("config", ""), ("network", " --filter scope=swarm"))
)

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
        wait_until(
            "everything that checks have made can be removed",
            self._remove,
            lambda _: not self._left(),
            seconds=REMOVAL_SECONDS,
        )

    def _remove(self) -> str:
        said = output(self._manager, f"{_REMOVE_IN_SWARM} || true")
        return "; ".join([said, *everywhere(self._hosts, lambda host: output(host, _REMOVE)).values()])

    def _left(self) -> bool:
        return bool(output(self._manager, _LEFT_IN_SWARM)) or any(
            everywhere(self._hosts, lambda host: output(host, _LEFT)).values()
        )
