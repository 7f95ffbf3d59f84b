"""Tasks, and what they are made of."""

from __future__ import annotations

import msgspec

from swarmd.api.rendering.common import Json, generic_resources, in_order, meta, resources, timestamp, without_empty
from swarmd.api.rendering.endpoints import ports
from swarmd.model import ContainerSpec, Mount, RestartPolicy, Task, TaskSpec, TaskStatus
from swarmd.store import Entry


def task(entry: Entry[Task]) -> Json:
    value = entry.value
    shown = meta(entry) | {"Labels": {}, "Spec": task_spec(value.spec), "ServiceID": value.service_id}
    shown |= without_empty(Slot=value.slot, NodeID=value.node_id)
    # Docker's own specification calls it AssignedGenericResources; its daemon and its client do not.
    shown |= without_empty(GenericResources=generic_resources(value.assigned_generic_resources))
    return shown | {"Status": _status(value.status), "DesiredState": value.desired_state.word, "Volumes": None}


def _status(status: TaskStatus) -> Json:
    shown: Json = {"Timestamp": timestamp(status.timestamp), "State": status.state.word}
    shown |= without_empty(Message=status.message, Err=status.err)
    if status.container is not None:
        shown["ContainerStatus"] = {
            "ContainerID": status.container.container_id,
            "PID": status.container.pid,
            "ExitCode": status.container.exit_code,
        }
    return shown | {"PortStatus": without_empty(Ports=ports(status.ports))}


def task_spec(spec: TaskSpec) -> Json:
    """A task's own spec, where Docker does not name the runtime."""
    shown: Json = {"ContainerSpec": _container_spec(spec.container_spec)}
    if spec.resources is not None:
        shown["Resources"] = {
            name: resources(part) | without_empty(Pids=part.pids)
            for name, part in (("Limits", spec.resources.limits), ("Reservations", spec.resources.reservations))
            if part is not None
        }
    if spec.restart_policy is not None:
        shown["RestartPolicy"] = _restart_policy(spec.restart_policy)
    if spec.placement is not None:
        shown["Placement"] = msgspec.to_builtins(spec.placement)
    if spec.log_driver is not None:
        shown["LogDriver"] = msgspec.to_builtins(spec.log_driver)
    return shown | {"ForceUpdate": spec.force_update}


def _container_spec(spec: ContainerSpec) -> Json:
    shown: Json = msgspec.to_builtins(spec)
    if spec.labels:
        shown["Labels"] = in_order(spec.labels)
    if spec.mounts:
        shown["Mounts"] = [_mount(mount) for mount in spec.mounts]
    return {"DNSConfig": {}} | shown | {"Isolation": "default"}


def _mount(mount: Mount) -> Json:
    """With its type and propagation, which Docker names also where they are the default."""
    shown: Json = msgspec.to_builtins(mount) | {"Type": mount.type.value}
    if mount.bind_options is not None:
        shown["BindOptions"] |= {"Propagation": mount.bind_options.propagation.value}
    return shown


def _restart_policy(policy: RestartPolicy) -> Json:
    shown: Json = {"Condition": policy.condition.value}
    if policy.delay is not None:
        shown["Delay"] = policy.delay
    return shown | {"MaxAttempts": policy.max_attempts} | without_empty(Window=policy.window)
