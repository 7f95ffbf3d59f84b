"""The nodes as the scheduler sees them: what runs there, what is free, what failed there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from swarmd.model import Node, NodeLiveness, Task, TaskState
from swarmd.scheduler import generic
from swarmd.scheduler.generic import Stock
from swarmd.scheduler.plugins import Plugin, plugins_of
from swarmd.scheduler.ports import HostPort, host_ports
from swarmd.store.contract import Entry, Kind, Snapshot, Unchanged

FAILURES_COUNT_FOR = timedelta(minutes=5)
PAUSE_EVERY = 500

Version = tuple[str, int]
"""A service's id and the version of its spec."""


@dataclass(slots=True)
class Seat:
    """A node, and the tasks on it; changes while a plan places tasks."""

    node: Node
    liveness: NodeLiveness
    guards: tuple[Unchanged, ...]
    free_cpus: int
    """Nano-CPUs that no task has reserved."""
    free_memory: int
    """Bytes that no task has reserved."""
    stocks: dict[str, Stock] = field(default_factory=dict)
    """What no task has of the node's generic resources, by kind."""
    ports: set[HostPort] = field(default_factory=set)
    """Those that its tasks publish."""
    tasks: int = 0
    """Those that are to run."""
    by_service: Counter[str] = field(default_factory=Counter)
    failures: Counter[Version] = field(default_factory=Counter)
    _plugins: frozenset[Plugin] | None = None

    @property
    def plugins(self) -> frozenset[Plugin]:
        if self._plugins is None:
            self._plugins = plugins_of(self.liveness.description.engine.plugins)
        return self._plugins

    def take(self, task: Task) -> None:
        """Reservations and ports are held until a task is gone; it counts as a copy only while it is to run.

        :param task: with its generic resources assigned.
        """
        cpus, memory = reserved(task)
        self.free_cpus -= cpus
        self.free_memory -= memory
        if task.assigned_generic_resources:
            generic.take(self.stocks, task.assigned_generic_resources)
        if task.endpoint is not None:
            self.ports |= host_ports(task)
        if task.desired_state <= TaskState.RUNNING:
            self.tasks += 1
            self.by_service[task.service_id] += 1


def reserved(task: Task) -> tuple[int, int]:
    """Nano-CPUs and bytes."""
    resources = task.spec.resources
    if resources is None or resources.reservations is None:
        return 0, 0
    return resources.reservations.nano_cpus, resources.reservations.memory_bytes


def version_of(task: Task) -> Version:
    return task.service_id, task.spec_version


def survey(snapshot: Snapshot, now: datetime) -> Generator[None, None, tuple[dict[str, Seat], list[Entry[Task]]]]:
    """
    :returns: the nodes' seats by node id, and the tasks that wait for one, or for its confirmation, oldest first.
    """
    seats = {node_id: _seat(entry, snapshot) for node_id, entry in snapshot.nodes.items()}
    waiting: list[Entry[Task]] = []
    for number, entry in enumerate(snapshot.tasks.values()):
        if number % PAUSE_EVERY == 0:
            yield
        task = entry.value
        if task.status.state is TaskState.PENDING:
            if task.desired_state <= TaskState.RUNNING:
                waiting.append(entry)
            continue
        seat = seats.get(task.node_id)
        if seat is None:
            continue
        if not task.status.state.is_final:
            seat.take(task)
        elif has_failed(task) and now - task.status.timestamp < FAILURES_COUNT_FOR:
            seat.failures[version_of(task)] += 1
    waiting.sort(key=lambda entry: (entry.created, entry.value.service_id, entry.value.slot))
    return seats, waiting


def has_failed(task: Task) -> bool:
    return task.status.state in (TaskState.FAILED, TaskState.REJECTED)


def add_failures(seats: Mapping[str, Seat], remembered: Mapping[str, Counter[Version]]) -> None:
    """Count also failures of tasks that the history has not kept."""
    for node_id, failures in remembered.items():
        if node_id in seats:
            seats[node_id].failures |= failures


def _seat(entry: Entry[Node], snapshot: Snapshot) -> Seat:
    node = entry.value
    liveness, seen = snapshot.liveness.get(node.id), snapshot.liveness_of(node.id)
    guards = (
        Unchanged(Kind.NODE, node.id, entry.version),
        Unchanged(Kind.LIVENESS, node.id, 0 if liveness is None else liveness.version),
    )
    resources = seen.description.resources
    return Seat(
        node,
        seen,
        guards,
        resources.nano_cpus,
        resources.memory_bytes,
        generic.stocks(resources.generic_resources),
    )
