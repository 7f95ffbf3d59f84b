"""Which nodes can keep tasks, which can take new ones, and the tasks of those that are gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from swarmd import constraints
from swarmd.model import Availability, NodeState, Task, TaskState
from swarmd.store.contract import Snapshot

ORPHANED_AFTER = timedelta(hours=24)
"""A node that has been down for so long is not expected to report what became of its tasks."""
NODE_DELETED = "Task belonged to a node that has been deleted"
EVICTED = "task rejected by constraint enforcer"


class Nodes:
    """Nodes as far as orchestrators care. A node that is Unknown, or was never heard, keeps its tasks."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._meet: dict[tuple[str, tuple[str, ...]], bool] = {}
        self._known = frozenset(snapshot.nodes)
        self._down: dict[str, datetime | None] = {
            node_id: entry.value.since
            for node_id, entry in snapshot.liveness.items()
            if entry.value.state is NodeState.DOWN
        }
        self._drained = frozenset(
            node_id for node_id, entry in snapshot.nodes.items() if entry.value.spec.availability is Availability.DRAIN
        )
        self._usable = self._known - self._drained - frozenset(self._down)

    def __iter__(self) -> Iterator[str]:
        """Their ids, in the store's order."""
        return iter(self._snapshot.nodes)

    def exists(self, node_id: str) -> bool:
        return node_id in self._known

    def is_lost(self, node_id: str) -> bool:
        """Whether it is down or drained."""
        return node_id in self._drained or node_id in self._down

    def is_drained(self, node_id: str) -> bool:
        return node_id in self._drained

    def can_keep(self, node_id: str) -> bool:
        """False if the node was removed, is down or is drained: its tasks are to run elsewhere."""
        return node_id in self._usable

    def take_new(self, node_id: str) -> bool:
        """Whether it keeps tasks and is not paused. One that is Unknown takes them: the scheduler lets them wait."""
        return (
            node_id in self._usable and self._snapshot.nodes[node_id].value.spec.availability is not Availability.PAUSE
        )

    def meet(self, wanted: Sequence[str], node_id: str) -> bool:
        """Whether the node is there and meets the constraints. Asked again and again of the same few."""
        if not wanted:
            return node_id in self._known
        key = node_id, tuple(wanted)
        known = self._meet.get(key)
        if known is None:
            known = self._meet[key] = self._meets(*key)
        return known

    def _meets(self, node_id: str, wanted: tuple[str, ...]) -> bool:
        node = self._snapshot.nodes.get(node_id)
        return node is not None and constraints.hold(wanted, node.value, self._snapshot.liveness_of(node_id))

    def can_answer(self, node_id: str) -> bool:
        """Whether it is worth waiting for what the node says of a task."""
        return node_id in self._known and node_id not in self._down

    def given_up_at(self, node_id: str) -> datetime | None:
        """When the tasks of a node that is down become orphans; None while it is not down."""
        since = self._down.get(node_id)
        return None if since is None else since + ORPHANED_AFTER


def is_held(task: Task) -> bool:
    """Whether a node has it: assigned, and not ended as far as is known."""
    return TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING


def is_going(task: Task, nodes: Nodes) -> bool:
    """Whether the task may still run on a node that will say when it has ended."""
    return is_held(task) and nodes.can_answer(task.node_id)


def has_ended_itself(task: Task) -> bool:
    """Whether it has ended, or could not begin, without anyone having wanted that."""
    return (
        task.status.state in (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED)
        and task.status.message != EVICTED
    )
