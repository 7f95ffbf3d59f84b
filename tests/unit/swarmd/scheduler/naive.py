"""The plainest way to say where tasks go: one after another, each time counting everything anew from all tasks.

It shares nothing with the scheduler but the model and the parser of constraints.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from msgspec.structs import replace

from swarmd import constraints
from swarmd.model import (
    Availability,
    DiscreteGeneric,
    GenericResource,
    MountType,
    NamedGeneric,
    NodeState,
    Placement,
    PortConfigPublishMode,
    ResourceObject,
    Task,
    TaskState,
)

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Fate:
    node_id: str
    generic: tuple[GenericResource, ...] = ()
    err: str = ""


def place(snapshot, now) -> dict[str, Fate]:
    """What becomes of each task that waits, by its id."""
    tasks = {task_id: entry.value for task_id, entry in snapshot.tasks.items()}
    waiting = sorted(
        (
            entry
            for entry in snapshot.tasks.values()
            if waits(entry.value) and entry.value.service_id in snapshot.services
        ),
        key=lambda entry: (entry.created, entry.value.service_id, entry.value.slot),
    )
    fates = {}
    for version in dict.fromkeys(version_of(entry.value) for entry in waiting):
        for entry in waiting:
            task = entry.value
            if version_of(task) == version:
                fate = fates[task.id] = decide(task, Cluster(snapshot, tasks, now))
                if fate.node_id:
                    status = replace(task.status, state=TaskState.ASSIGNED)
                    tasks[task.id] = replace(
                        task, node_id=fate.node_id, assigned_generic_resources=list(fate.generic), status=status
                    )
    for task_id, fate in fates.items():
        if not fate.node_id:  # said at the end: what came after it may be why it will not fit
            fates[task_id] = decide(tasks[task_id], Cluster(snapshot, tasks, now))
    return fates


def waits(task):
    return not task.node_id and task.status.state is TaskState.PENDING and task.desired_state <= TaskState.RUNNING


def version_of(task):
    return task.service_id, task.spec_version


def decide(task, cluster):
    reasons = {node_id: cluster.refusal(task, node_id) for node_id in cluster.nodes}
    fit = [node_id for node_id, reason in reasons.items() if not reason]
    if not fit:
        return Fate("", err=sentence([reason for reason in reasons.values() if reason]))
    best = min(fit, key=lambda node_id: cluster.preference(task, node_id))
    return Fate(best, tuple(cluster.handed_out(task, best)))


ORDER = ("{} not available for new tasks", "insufficient resources on {}", "missing plugin on {}",
         "scheduling constraints not satisfied on {}", "unsupported platform on {}",
         "host-mode port already in use on {}", "max replicas per node limit exceed")  # fmt: skip
READY, RESOURCES, PLUGINS, CONSTRAINTS, PLATFORM, PORTS, REPLICAS = ORDER


def sentence(reasons):
    counted = Counter(reasons)
    said = sorted(counted, key=lambda reason: (-counted[reason], ORDER.index(reason)))
    words = [reason.format("1 node" if counted[reason] == 1 else f"{counted[reason]} nodes") for reason in said]
    return f"no suitable node ({'; '.join(words)})" if words else "no suitable node"


class Cluster:
    def __init__(self, snapshot, tasks, now):
        self.nodes = {node_id: entry.value for node_id, entry in snapshot.nodes.items()}
        self.liveness = {node_id: entry.value for node_id, entry in snapshot.liveness.items()}
        self.tasks, self.now = tasks, now

    def on(self, node_id):
        """Tasks that still have something of the node."""
        return [
            task for task in self.tasks.values() if task.node_id == node_id and task.status.state <= TaskState.RUNNING
        ]

    def copies(self, service_id, node_id):
        return sum(
            task.service_id == service_id and task.desired_state <= TaskState.RUNNING for task in self.on(node_id)
        )

    def refusal(self, task, node_id):
        """The first thing wrong with a node, or None."""
        node, seen = self.nodes[node_id], self.liveness[node_id]
        placement = task.spec.placement or Placement()
        platforms, platform = placement.platforms, seen.description.platform
        used = {port for other in self.on(node_id) for port in ports(other)}
        most = placement.max_replicas
        wrong = {
            READY: seen.state is not NodeState.READY or node.spec.availability is not Availability.ACTIVE,
            RESOURCES: not self.has_room(task, node_id),
            PLUGINS: not self.has_plugins(task, node_id),
            CONSTRAINTS: not constraints.hold(placement.constraints, node, seen),
            PLATFORM: platforms and not any(is_like(each, platform) for each in platforms),
            PORTS: ports(task) & used,
            REPLICAS: most and self.copies(task.service_id, node_id) >= most,
        }
        return next((reason for reason, is_wrong in wrong.items() if is_wrong), None)

    def has_room(self, task, node_id):
        total, asked = self.liveness[node_id].description.resources, reservations(task)
        taken = [reservations(other) for other in self.on(node_id)]
        return (
            sum(each.nano_cpus for each in taken) + asked.nano_cpus <= total.nano_cpus
            and sum(each.memory_bytes for each in taken) + asked.memory_bytes <= total.memory_bytes
            and all(amount <= self.left(kind, node_id) for kind, amount in kinds(asked).items())
        ) or not (asked.nano_cpus or asked.memory_bytes or asked.generic_resources)

    def left(self, kind, node_id):
        names = self.names_left(kind, node_id)
        if names is not None:
            return len(names)
        numbers = [
            each.discrete_resource_spec.value
            for each in self.liveness[node_id].description.resources.generic_resources
            if each.discrete_resource_spec and each.discrete_resource_spec.kind == kind
        ]
        if not numbers:
            return -1
        given = [each for task in self.on(node_id) for each in task.assigned_generic_resources]
        return (
            numbers[0]
            - sum(
                each.discrete_resource_spec.value
                for each in given
                if each.discrete_resource_spec and each.discrete_resource_spec.kind == kind
            )
            - sum(bool(each.named_resource_spec and each.named_resource_spec.kind == kind) for each in given)
        )

    def names_left(self, kind, node_id):
        """None if the kind has no names on this node."""
        names = [
            each.named_resource_spec.value
            for each in self.liveness[node_id].description.resources.generic_resources
            if each.named_resource_spec and each.named_resource_spec.kind == kind
        ]
        taken = {
            each.named_resource_spec.value
            for task in self.on(node_id)
            for each in task.assigned_generic_resources
            if each.named_resource_spec and each.named_resource_spec.kind == kind
        }
        return [name for name in names if name not in taken] if names else None

    def handed_out(self, task, node_id):
        for kind, amount in kinds(reservations(task)).items():
            names = self.names_left(kind, node_id)
            if names is None:
                yield GenericResource(discrete_resource_spec=DiscreteGeneric(kind, amount))
            else:
                for name in names[:amount]:
                    yield GenericResource(NamedGeneric(kind, name))

    def has_plugins(self, task, node_id):
        plugins = self.liveness[node_id].description.engine.plugins
        volumes = {plugin.name for plugin in plugins if plugin.type == "Volume"}
        logs = {plugin.name for plugin in plugins if plugin.type == "Log"}
        for mount in task.spec.container_spec.mounts:
            if mount.type is MountType.VOLUME and mount.volume_options and mount.volume_options.driver_config:
                name = mount.volume_options.driver_config.name
                if name not in ("", "local") and not {name, f"{name}:latest"} & volumes:
                    return False
        driver = task.spec.log_driver.name if task.spec.log_driver else ""
        return driver in ("", "none") or not logs or bool({driver, f"{driver}:latest"} & logs)

    def preference(self, task, node_id):
        """Copies in the node's branch of each level; its failures, if many; copies on it; tasks on it; its id."""
        branch, levels = list(self.nodes), []
        placement = task.spec.placement or Placement()
        for each in placement.preferences:
            descriptor = each.spread.spread_descriptor if each.spread else ""
            if self.label(node_id, descriptor) is not None:
                value = self.label(node_id, descriptor)
                branch = [other for other in branch if self.label(other, descriptor) == value]
                levels.append(sum(self.copies(task.service_id, other) for other in branch))
        failed = sum(
            other.node_id == node_id
            and version_of(other) == version_of(task)
            and other.status.state in (TaskState.FAILED, TaskState.REJECTED)
            and self.now - other.status.timestamp < timedelta(minutes=5)
            for other in self.tasks.values()
        )
        running = sum(other.desired_state <= TaskState.RUNNING for other in self.on(node_id))
        return *levels, failed if failed >= 5 else 0, self.copies(task.service_id, node_id), running, node_id

    def label(self, node_id, descriptor):
        """None if the descriptor names none."""
        if descriptor.lower().startswith("node.labels.") and len(descriptor) > 12:
            return self.nodes[node_id].spec.labels.get(descriptor[12:], "")
        if descriptor.lower().startswith("engine.labels.") and len(descriptor) > 14:
            return self.liveness[node_id].description.engine.labels.get(descriptor[14:], "")
        return None


def reservations(task: Task):
    resources = task.spec.resources
    return resources.reservations if resources and resources.reservations else ResourceObject()


def kinds(asked):
    return {each.discrete_resource_spec.kind: each.discrete_resource_spec.value for each in asked.generic_resources}


def ports(task):
    return {
        (port.protocol, port.published_port)
        for port in (task.endpoint.ports if task.endpoint else [])
        if port.publish_mode is PortConfigPublishMode.HOST and port.published_port
    }


def is_like(wanted, actual):
    one, other = (ARCHITECTURES.get(each.architecture, each.architecture) for each in (wanted, actual))
    return one in ("", other) and wanted.os in ("", actual.os)
