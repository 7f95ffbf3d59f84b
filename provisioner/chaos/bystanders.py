"""Tasks that must keep running whatever happens to the managers: a replicated service, and its containers per host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from provisioner.chaos.outcome import Container
from provisioner.chaos.workload import IMAGE, MARK, PREFIX
from provisioner.machines import Machine
from provisioner.swarm import connect

if TYPE_CHECKING:
    import docker

SERVICE = f"{PREFIX}tasks"
PER_HOST = 2


def create(client: docker.APIClient, *, name: str = SERVICE, replicas: int) -> str:
    """A service that sleeps, as many times as asked; its id."""
    from docker.types import ContainerSpec, ServiceMode, TaskTemplate  # noqa: PLC0415

    # args, not command: a command would take the place of the image's init, and sleep as PID 1 ignores SIGTERM.
    template = TaskTemplate(ContainerSpec(IMAGE, args=["sleep", "86400"]))
    mode = ServiceMode("replicated", replicas)
    service = client.create_service(template, name=name, labels={MARK: "tasks"}, mode=mode)
    return str(service["ID"])


def containers(machines: Sequence[Machine], service: str, timeout: float) -> tuple[Container, ...]:
    """The running containers of the service on these hosts, asked of each host's own engine.

    :param service: its id; of an earlier run's service of that name, containers may still be about to end.
    :raises docker.errors.DockerException: a host's engine does not answer.
    """
    found = []
    for machine in machines:
        with connect(machine, timeout) as client:
            listed = client.containers(filters={"label": f"com.docker.swarm.service.id={service}"})
            for each in listed:
                seen = client.inspect_container(each["Id"])
                name, started = seen["Name"].lstrip("/"), seen["State"]["StartedAt"]
                found.append(Container(each["Id"], name, machine.name, started))
    return tuple(found)


def interruptions(before: Iterable[Container], now: Iterable[Container]) -> dict[str, str]:
    """Which of the earlier containers ended or began anew since: id -> a sentence. Pure."""
    by_id = {container.id: container for container in now}
    found = {}
    for container in before:
        seen = by_id.get(container.id)
        if seen is None:
            found[container.id] = f"{container.host}: {container.name} is not running any more"
        elif seen.started != container.started:
            found[container.id] = f"{container.host}: {container.name} was restarted at {seen.started}"
    return found
