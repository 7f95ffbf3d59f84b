"""Objects to store."""

from __future__ import annotations

from datetime import UTC, datetime

from swarmd.model import Service, ServiceSpec, Task, TaskSpec, TaskState, TaskStatus
from swarmd.store import Delete, Kind, Put

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def service(id: str, name: str = "web", **labels: str) -> Service:
    return Service(id, ServiceSpec(name=name, labels=labels), spec_version=1, created_at=NOW, updated_at=NOW)


def task(id: str, state: TaskState = TaskState.NEW) -> Task:
    return Task(
        id=id, service_id="s1", service_name="web", slot=1, spec=TaskSpec(), spec_version=1, created_at=NOW,
        updated_at=NOW, desired_state=TaskState.RUNNING, status=TaskStatus(timestamp=NOW, state=state),
    )  # fmt: skip


def put_service(id: str, name: str = "web", **labels: str) -> Put:
    return Put(Kind.SERVICE, id, service(id, name, **labels))


def put_task(id: str, state: TaskState = TaskState.NEW) -> Put:
    return Put(Kind.TASK, id, task(id, state))


def delete_service(id: str) -> Delete:
    return Delete(Kind.SERVICE, id)
