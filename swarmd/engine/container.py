"""What a task is to the engine: the body of ``POST /containers/create``. Pure.

Source of each field: moby/moby ``daemon/cluster/executor/container/container.go``.
"""

from __future__ import annotations

from typing import Any

from swarmd.engine.reference import familiar
from swarmd.engine.template import expand, has_placeholder, values
from swarmd.model import ContainerSpec, NodeDescription, ResourceRequirements, Task
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
    spec = task.spec.container_spec
    return any(has_placeholder(text) for text in (spec.hostname, *spec.env))


def create_body(task: Task, node: NodeDescription) -> dict[str, Any]:
    """
    :raises swarmd.engine.template.BadTemplate: a placeholder in hostname or environment means nothing.
    """
    spec = task.spec.container_spec
    known = values(task, node, name=container_name(task))
    body: dict[str, Any] = {
        "Image": familiar(spec.image),
        "Labels": _labels(task),
        "Env": [expand(variable, known) for variable in spec.env],
        "Hostname": expand(spec.hostname, known),
        "WorkingDir": spec.dir,
        "User": spec.user,
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StopSignal": spec.stop_signal,
        "HostConfig": _host_config(spec, task.spec.resources),
    }
    if spec.stop_grace_period is not None:
        body["StopTimeout"] = stop_grace(task)
    if spec.command:
        body["Entrypoint"] = spec.command
    if spec.args:
        body["Cmd"] = spec.args
    return body


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


def _host_config(spec: ContainerSpec, resources: ResourceRequirements | None) -> dict[str, Any]:
    """Without a restart policy: what comes after a task's end is the managers' to say.

    Reservations are the scheduler's alone; the engine never hears of them.
    """
    host: dict[str, Any] = {
        "NetworkMode": "default",
        "RestartPolicy": {"Name": "no"},
        "GroupAdd": spec.groups,
        "ReadonlyRootfs": spec.read_only,
    }
    if spec.init is not None:
        host["Init"] = spec.init
    limits = resources.limits if resources else None
    if limits is not None:
        if limits.nano_cpus > 0:
            host["NanoCpus"] = limits.nano_cpus
        if limits.memory_bytes > 0:
            host["Memory"] = limits.memory_bytes
        if limits.pids > 0:
            host["PidsLimit"] = limits.pids
    return host
