"""What becomes of a task that waits: it is given to a node, or told why not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from swarmd.model import Task, TaskStatus
from swarmd.reconcile import Decision
from swarmd.scheduler import generic
from swarmd.scheduler.seats import Seat
from swarmd.store.contract import Entry, Kind, Put, Unchanged


def give(entry: Entry[Task], seat: Seat, kinds: Mapping[str, int], status: TaskStatus, why: str) -> Decision:
    """Have the seat take the task; the filters have let it pass.

    :param kinds: of generic resources, what the task wants.
    """
    task = replace(
        entry.value,
        node_id=seat.node.id,
        assigned_generic_resources=generic.chosen(seat.stocks, kinds),
        status=status,
        updated_at=status.timestamp,
    )
    seat.take(task)
    guards = (Unchanged(Kind.TASK, task.id, entry.version), *seat.guards)
    return Decision(why, (Put(Kind.TASK, task.id, task),), guards)


def leave(entry: Entry[Task], reason: str, now: datetime) -> Decision | None:
    """Say why it still waits, unless that is said already."""
    task = entry.value
    if task.status.err == reason:
        return None
    status = replace(task.status, timestamp=now, err=reason)
    return Decision(
        f"{task.service_name}: {reason}",
        [Put(Kind.TASK, task.id, replace(task, status=status, updated_at=now))],
        [Unchanged(Kind.TASK, task.id, entry.version)],
    )
