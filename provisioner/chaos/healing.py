"""Is the lab healthy, and how it becomes so again: every host on, the swarm as the spec asks, nothing left over."""

from __future__ import annotations

import time
from collections.abc import Callable

from provisioner.chaos import belongings, engines
from provisioner.chaos.workload import MARK
from provisioner.errors import LabUnhealthy, ProvisionError, UsageError
from provisioner.lab import LabSpec
from provisioner.machines import Machine, Provider
from provisioner.progress import Progress
from provisioner.swarm import Swarm, connect, matches, read

INTERVAL = 0.5
# Removing a service is one write; that long is waited for a leader that is just being elected.
TIMEOUT = 25.0


def check(spec: LabSpec, provider: Provider) -> Swarm:
    """The swarm of a healthy lab.

    :raises UsageError: its machines cannot be broken on purpose.
    :raises LabUnhealthy: it is not what its spec says; nothing was done to it.
    """
    require_plugs(spec)
    swarm = read(provider.machines())
    if differences := matches(spec, swarm):
        raise LabUnhealthy(
            f"lab {spec.name!r} is not healthy, so nothing is broken on purpose:\n"
            + "\n".join(f"  {difference}" for difference in differences),
            hint=f"provision up --name {spec.name} repairs it",
        )
    return swarm


def require_plugs(spec: LabSpec) -> None:
    """:raises UsageError: every scenario breaks machines in some way, and these are not ours to break."""
    if spec.provider == "inventory":
        raise UsageError(
            f"the machines of lab {spec.name!r} are not ours to switch off, and every scenario breaks some",
            hint="see scenarios on machines of provision's own: provision up --name chaos --managers 3",
        )


def start_all(provider: Provider, progress: Progress) -> None:
    """Start every host that is off.

    :raises ProvisionError: some did not come up.
    """
    stopped = [machine.name for machine in provider.machines() if machine.state != "running"]
    if stopped and (failures := provider.start(stopped, progress)):
        raise ProvisionError(
            "hosts did not come up again: " + "; ".join(f"{host}: {why}" for host, why in failures.items())
        )


def wait_until_healthy(
    spec: LabSpec, provider: Provider, *, within: float, doing: Callable[[str], None] = lambda _: None
) -> Swarm:
    """The swarm, once it is what the spec asks for.

    :raises LabUnhealthy: it is not after ``within`` seconds; the message says what differs.
    """
    deadline = time.monotonic() + within
    while True:
        swarm = read(provider.machines())
        differences = matches(spec, swarm)
        if not differences:
            return swarm
        if time.monotonic() > deadline:
            raise LabUnhealthy(
                f"lab {spec.name!r} is not as before after {within:g} s: {'; '.join(differences)}",
                hint=f"provision up --name {spec.name} repairs it",
            )
        doing(f"waiting for the lab to be as before: {differences[0]}")
        time.sleep(INTERVAL)


def remove_leftovers(spec: LabSpec, manager: Machine) -> None:
    """Remove every service and whatever else chaos made, of this run or of one that was killed.

    :raises docker.errors.DockerException: the swarm does not take it.
    """
    with connect(manager, TIMEOUT) as client:
        for service in client.services():
            if MARK in (service["Spec"].get("Labels") or {}):
                client.remove_service(service["ID"])
        belongings.remove(client, engines.of(spec).kinds)
