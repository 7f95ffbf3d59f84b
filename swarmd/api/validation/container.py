"""What is refused in a container's spec before any node sees it."""

from __future__ import annotations

from datetime import UTC, datetime

from swarmd.api.validation.references import is_image_reference
from swarmd.engine import template
from swarmd.errors import InvalidArgument
from swarmd.model import ContainerSpec, NodeDescription, ServiceSpec, Task, TaskState, TaskStatus


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


def check_templates(spec: ServiceSpec) -> None:
    """Expand placeholders once, with made-up values, so that a wrong one is refused here and not on some node.

    :raises InvalidArgument: one cannot be expanded.
    """
    container = spec.task_template.container_spec
    if not any(template.has_placeholder(text) for text in (container.hostname, *container.env)):
        return
    known = template.values(_made_up_task(spec), NodeDescription(), name=f"{spec.name}.1.task")
    for field, texts in (("hostname", [container.hostname]), ("env", container.env)):
        try:
            for text in texts:
                template.expand(text, known)
        except template.BadTemplate as error:
            raise InvalidArgument(f"expanding {field} failed: {error}") from None


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
