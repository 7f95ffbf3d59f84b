"""Tasks to try things with."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from swarmd.model import ContainerSpec, Task, TaskSpec, TaskState, TaskStatus, new_id

THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NODE = "n0000000000000000000000node"


def a_task(
    container: ContainerSpec | None = None,
    *,
    state: TaskState = TaskState.ASSIGNED,
    desired: TaskState = TaskState.RUNNING,
    **fields: object,
) -> Task:
    task = Task(
        id=new_id(),
        service_id="s000000000000000000000000",
        service_name="web",
        slot=1,
        spec=TaskSpec(container_spec=container or ContainerSpec(image="busybox")),
        spec_version=1,
        created_at=THEN,
        updated_at=THEN,
        desired_state=desired,
        status=TaskStatus(timestamp=THEN, state=state),
        node_id=NODE,
    )
    return msgspec.structs.replace(task, **fields)


def desired(task: Task, state: TaskState) -> Task:
    return msgspec.structs.replace(task, desired_state=state)
