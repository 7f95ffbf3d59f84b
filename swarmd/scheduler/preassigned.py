"""Tasks that have a node from the beginning: those of global services. They are placed already, and only checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from swarmd.model import Task, TaskState, TaskStatus
from swarmd.reconcile import Decision
from swarmd.scheduler import generic
from swarmd.scheduler.decisions import give, leave
from swarmd.scheduler.filters import allows, filters_of, reasons
from swarmd.scheduler.seats import Seat
from swarmd.store.contract import Entry

CONFIRMED = "scheduler confirmed task can run on preassigned node"


def confirm(entries: Sequence[Entry[Task]], seats: Mapping[str, Seat], now: datetime) -> Iterator[Decision | None]:
    """Before all others are placed, as on Docker: a node that others have filled could never take its own."""
    for entry in entries:
        seat = seats.get(entry.value.node_id)
        yield None if seat is None else _confirm(entry, seat, now)


def _confirm(entry: Entry[Task], seat: Seat, now: datetime) -> Decision | None:
    task, filters = entry.value, filters_of(entry.value)
    if not allows(filters, seat):
        # Without "no suitable node" around it: there is only the one.
        return leave(entry, reasons(filters, [seat]), now)
    status = TaskStatus(timestamp=now, state=TaskState.ASSIGNED, message=CONFIRMED)
    return give(entry, seat, generic.wanted(task), status, f"{task.service_name}: confirmed")
