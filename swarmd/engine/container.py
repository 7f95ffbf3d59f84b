"""What a task is to the engine: the body of ``POST /containers/create``. Pure.

Source of each field: moby/moby ``daemon/cluster/executor/container/container.go``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from swarmd.engine.host_config import host_config
from swarmd.engine.reference import familiar
from swarmd.engine.template import expand_container, has_placeholder, texts, values
from swarmd.model import GenericResource, NodeDescription, Task
from swarmd.model.specs import SECOND

LABEL = "com.docker.swarm.task"
TASK_ID = f"{LABEL}.id"
TASK_NAME = f"{LABEL}.name"
NODE_ID = "com.docker.swarm.node.id"
SERVICE_ID = "com.docker.swarm.service.id"
SERVICE_NAME = "com.docker.swarm.service.name"

STOP_GRACE = 10 * SECOND
"""Docker's, where the service says nothing."""


def container_name(task: Task) -> str:
    """``service.slot.id``; a task without a slot has its node's id there."""
    return f"{task.service_name}.{task.slot or task.node_id}.{task.id}"


def stop_grace(task: Task) -> int:
    """Whole seconds, cut off as Docker cuts them."""
    grace = task.spec.container_spec.stop_grace_period
    return (STOP_GRACE if grace is None else grace) // SECOND


def needs_node(task: Task) -> bool:
    """Whether the body depends on the node's description."""
    return any(has_placeholder(text) for text in texts(task.spec.container_spec))


def create_body(task: Task, node: NodeDescription) -> dict[str, Any]:
    """
    :raises swarmd.engine.template.BadTemplate: a placeholder in hostname, environment or mounts means nothing.
    """
    spec = expand_container(task.spec.container_spec, values(task, node, name=container_name(task)))
    host = host_config(task, spec)
    body: dict[str, Any] = {
        "Image": familiar(spec.image),
        "Labels": _labels(task),
        "Env": [*spec.env, *_resource_variables(task.assigned_generic_resources)],
        "Hostname": spec.hostname,
        "WorkingDir": spec.dir,
        "User": spec.user,
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StopSignal": spec.stop_signal,
        "ExposedPorts": {port: {} for port in host["PortBindings"]},
        "HostConfig": host,
    }
    if spec.stop_grace_period is not None:
        body["StopTimeout"] = stop_grace(task)
    if spec.healthcheck is not None:
        body["Healthcheck"] = msgspec.to_builtins(spec.healthcheck)
    if spec.command:
        body["Entrypoint"] = spec.command
    if spec.args:
        body["Cmd"] = spec.args
    return body


def _resource_variables(assigned: Iterable[GenericResource]) -> list[str]:
    """``DOCKER_RESOURCE_GPU=uuid1,uuid2``: what of the node's things is this task's; of a number, how many."""
    by_kind: dict[str, list[str]] = {}
    for resource in assigned:
        if (what := resource.named_resource_spec or resource.discrete_resource_spec) is not None:
            by_kind.setdefault(what.kind, []).append(str(what.value))
    return [f"DOCKER_RESOURCE_{kind.upper()}={','.join(names)}" for kind, names in sorted(by_kind.items())]


def _labels(task: Task) -> dict[str, str]:
    """The user's, below those that say whose container it is."""
    return {
        **task.spec.container_spec.labels,
        LABEL: "",
        TASK_ID: task.id,
        TASK_NAME: container_name(task),
        NODE_ID: task.node_id,
        SERVICE_ID: task.service_id,
        SERVICE_NAME: task.service_name,
    }
