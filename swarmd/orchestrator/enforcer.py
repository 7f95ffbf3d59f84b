"""Evicts tasks whose node has changed so that it is not fit for them any more (swarmkit's ``constraintenforcer``).

They become Rejected, and the restart policy says what comes next. Rejected is the end of a task for all who count: what
replaces it does not wait for the container, and its room is free, while the node still stops it. Docker does the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from swarmd.constraints import is_placed_alike
from swarmd.model import (
    Availability,
    GenericResource,
    NodeState,
    Resources,
    Service,
    Task,
    TaskState,
    TaskStatus,
)
from swarmd.orchestrator.draft import Slot, View
from swarmd.orchestrator.nodes import EVICTED, Nodes, is_held
from swarmd.store.contract import Entry, Snapshot

WHY = "assigned node no longer meets constraints"


def asks_of_its_node(task: Task) -> bool:
    """Whether a change of its node could make it unfit for the task."""
    if task.desired_state > TaskState.RUNNING or not is_held(task):
        return False
    placement, resources = task.spec.placement, task.spec.resources
    return bool(
        (placement is not None and placement.constraints)
        or (resources is not None and resources.reservations is not None)
        or task.assigned_generic_resources
    )


def evict(snapshot: Snapshot, nodes: Nodes, node_id: str, tasks: Sequence[Entry[Task]]) -> Iterator[str]:
    """Which of the node's tasks it is not fit for; of those that do not fit into it together, the youngest.

    Nothing is asked of a node that is drained or paused, or of which nothing is known.
    """
    node, seen = snapshot.nodes.get(node_id), snapshot.liveness.get(node_id)
    if node is None or node.value.spec.availability is not Availability.ACTIVE:
        return
    if seen is None or seen.value.state is NodeState.DOWN:
        return
    resources = seen.value.description.resources
    room = None if resources == Resources() else _Room(resources)
    for entry in sorted(tasks, key=lambda entry: (entry.created, entry.value.id)):
        task = entry.value
        service = snapshot.services.get(task.service_id)
        if service is None:
            continue
        if not nodes.meet(_binding(task, service.value), node_id) or (room is not None and not room.take(task)):
            yield task.id


def reject(slot: Slot, view: View) -> None:
    for task in slot.tasks:
        if task.id in view.evicted:
            status = TaskStatus(
                timestamp=view.now,
                state=TaskState.REJECTED,
                message=EVICTED,
                err=WHY,
                container=task.status.container,
                ports=task.status.ports,
            )
            slot.change(replace(task, status=status, updated_at=view.now), "task evicted")


def _binding(task: Task, service: Service) -> list[str]:
    """The constraints that hold for the task. Those that were changed under it are the rolling update's: it replaces
    tasks a few at a time, while all that are evicted go at once."""
    own = task.spec.placement
    if task.spec_version == service.spec_version and not is_placed_alike(task.spec, service.spec.task_template):
        return []
    return [] if own is None else own.constraints


class _Room:
    """What a node has, less what its tasks have reserved."""

    def __init__(self, resources: Resources) -> None:
        self._cpus, self._memory = resources.nano_cpus, resources.memory_bytes
        self._generic = _counted(resources.generic_resources)

    def take(self, task: Task) -> bool:
        """Whether the task fits in, which takes its room."""
        asked = task.spec.resources.reservations if task.spec.resources is not None else None
        cpus, memory = (0, 0) if asked is None else (asked.nano_cpus, asked.memory_bytes)
        if cpus > self._cpus or memory > self._memory:
            return False
        if task.assigned_generic_resources:  # which is rare, and counting takes far longer than all else here
            generic = _counted(task.assigned_generic_resources)
            if not generic <= self._generic:
                return False
            self._generic -= generic
        self._cpus -= cpus
        self._memory -= memory
        return True


def _counted(resources: Sequence[GenericResource]) -> Counter[tuple[str, str]]:
    """By kind and name; what is only counted has no name."""
    counted: Counter[tuple[str, str]] = Counter()
    for resource in resources:
        if (named := resource.named_resource_spec) is not None:
            counted[named.kind, named.value] += 1
        if (discrete := resource.discrete_resource_spec) is not None:
            counted[discrete.kind, ""] += discrete.value
    return counted
