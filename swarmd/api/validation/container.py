"""What is refused in a container's spec before any node sees it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from swarmd.api.validation.references import is_image_reference
from swarmd.engine import template
from swarmd.errors import InvalidArgument
from swarmd.model import ContainerSpec, HealthConfig, Mount, NodeDescription, ServiceSpec, Task, TaskState, TaskStatus

_SHORTEST_CHECK = 1_000_000
"""Nanoseconds; the engine's limit too."""


def check_container(spec: ContainerSpec) -> None:
    """
    :raises InvalidArgument: a value is not allowed.
    """
    image = spec.image
    if not image:
        raise InvalidArgument("ContainerSpec: image reference must be provided")
    if not is_image_reference(image):
        raise InvalidArgument(f'ContainerSpec: "{image}" is not a valid repository/tag')
    grace = spec.stop_grace_period
    if grace is not None and grace < 0:
        raise InvalidArgument("ContainerSpec: stop-grace-period cannot be negative")
    if spec.healthcheck is not None:
        _check_health(spec.healthcheck)


def check_templates(spec: ServiceSpec) -> None:
    """Expand placeholders once, with made-up values, so that a wrong one is refused here and not on some node.

    :raises InvalidArgument: one cannot be expanded, or what comes of them is not allowed.
    """
    known = template.values(_made_up_task(spec), NodeDescription(), name=f"{spec.name}.1.task")
    try:
        container = template.expand_container(spec.task_template.container_spec, known)
    except template.BadTemplate as error:
        raise InvalidArgument(str(error)) from None
    _check_mount_points(container.mounts)


def _check_mount_points(mounts: Iterable[Mount]) -> None:
    """All else that is wrong with a mount is said by the node that gets the task, as on Docker."""
    seen = set()
    for mount in mounts:
        if mount.target in seen:
            raise InvalidArgument(f"ContainerSpec: duplicate mount point: {mount.target}")
        seen.add(mount.target)


def _check_health(check: HealthConfig) -> None:
    """A start interval that is too short is refused by the engine alone, as on Docker."""
    for name, value in (("Interval", check.interval), ("Timeout", check.timeout), ("StartPeriod", check.start_period)):
        if value != 0 and value < _SHORTEST_CHECK:
            raise InvalidArgument(f"ContainerSpec: {name} in HealthConfig cannot be less than 1ms")
    if check.retries < 0:
        raise InvalidArgument("ContainerSpec: Retries in HealthConfig cannot be negative")


def _made_up_task(spec: ServiceSpec) -> Task:
    now = datetime.now(UTC)
    return Task(
        id="task",
        service_id="service",
        service_name=spec.name,
        slot=1,
        spec=spec.task_template,
        spec_version=0,
        created_at=now,
        updated_at=now,
        desired_state=TaskState.RUNNING,
        status=TaskStatus(now, TaskState.NEW),
        service_labels=spec.labels,
    )
