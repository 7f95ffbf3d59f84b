"""Tasks that have a node from the beginning: those of global services. They are placed already, and only checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from swarmd.model import Task, TaskState, TaskStatus
from swarmd.reconcile import Decision
from swarmd.scheduler import generic
from swarmd.scheduler.filters import allows, filters_of, reasons
from swarmd.scheduler.seats import Seat
from swarmd.store.contract import Entry, Kind, Put, Unchanged

CONFIRMED = "scheduler confirmed task can run on preassigned node"


def confirm(entries: Sequence[Entry[Task]], seats: Mapping[str, Seat], now: datetime) -> Iterator[Decision | None]:
    """Before all others are placed, as on Docker: a node that others have filled could never take its own."""
    for entry in entries:
        seat = seats.get(entry.value.node_id)
        yield None if seat is None else _confirm(entry, seat, now)


def _confirm(entry: Entry[Task], seat: Seat, now: datetime) -> Decision | None:
    task, filters = entry.value, filters_of(entry.value)
    guards = [Unchanged(Kind.TASK, task.id, entry.version)]
    if allows(filters, seat):
        task = replace(task, assigned_generic_resources=generic.chosen(seat.stocks, generic.wanted(task)))
        seat.take(task)
        status = TaskStatus(timestamp=now, state=TaskState.ASSIGNED, message=CONFIRMED)
        why = "confirmed"
        guards += seat.guards
    else:
        # Without "no suitable node" around it: there is only the one.
        why = reasons(filters, [seat])
        if task.status.err == why:
            return None
        status = replace(task.status, timestamp=now, err=why)
    changed = replace(task, status=status, updated_at=now)
    return Decision(f"{task.service_name}: {why}", [Put(Kind.TASK, task.id, changed)], guards)
