"""Which task goes to which node; what the others wait for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from swarmd.model import Task, TaskState, TaskStatus
from swarmd.reconcile import Decision, Plan, Planning, complete
from swarmd.scheduler import generic
from swarmd.scheduler.decisions import give, leave
from swarmd.scheduler.filters import Filter, explain, filters_of
from swarmd.scheduler.preassigned import confirm
from swarmd.scheduler.preferences import tree
from swarmd.scheduler.seats import Seat, Version, add_failures, survey, version_of
from swarmd.store.contract import Entry, Snapshot

ASSIGNED = "scheduler assigned task to node"

Failures = Mapping[str, Counter[Version]]
"""How often versions of services have failed of late, by node id."""
_Left = tuple[Sequence[Filter], Sequence[Entry[Task]]]
"""Tasks of one spec that found no node, and what was asked of one."""


def place(snapshot: Snapshot, now: datetime, failures: Failures | None = None) -> Plan:
    """Pure. Tasks placed in this very run count; applied, it leaves nothing to plan.

    :param failures: what is remembered beyond the tasks that are stored.
    """
    return complete(placing(snapshot, now, failures))


def placing(snapshot: Snapshot, now: datetime, failures: Failures | None = None) -> Planning:
    """The same, pausing on the way."""
    seats, waiting = yield from survey(snapshot, now)
    add_failures(seats, failures or {})
    groups: defaultdict[Version, list[Entry[Task]]] = defaultdict(list)
    preassigned: list[Entry[Task]] = []
    for entry in waiting:
        if entry.value.service_id in snapshot.services:
            (preassigned if entry.value.node_id else groups[version_of(entry.value)]).append(entry)
    decisions: list[Decision] = []
    for confirmed in confirm(preassigned, seats, now):
        if confirmed is not None:
            decisions.append(confirmed)
        yield
    left: list[_Left] = []
    for group in groups.values():
        for decision in _place_group(group, list(seats.values()), now, left):
            decisions.append(decision)
            yield
    # Each is guarded by its node: side by side they share the guards (of 100,000 on 1,000 nodes two thirds are saved),
    # and a node that has changed spoils one transaction.
    decisions.sort(key=_node_of)
    for filters, entries in left:  # once all are placed: what one group took is a reason for the others
        reason = explain(filters, seats.values())
        for entry in entries:
            if (said := leave(entry, reason, now)) is not None:
                decisions.append(said)
            yield
    return Plan(decisions)


def _place_group(
    group: Sequence[Entry[Task]], seats: Sequence[Seat], now: datetime, left: list[_Left]
) -> Iterator[Decision]:
    """Tasks of one spec: what is asked of a node is the same for all, so the nodes are judged once.

    :param left: is given those that fit nowhere.
    """
    example = group[0].value
    filters = filters_of(example)
    candidates = tree(example, filters, seats)
    kinds = generic.wanted(example)
    status = TaskStatus(timestamp=now, state=TaskState.ASSIGNED, message=ASSIGNED)
    why = f"{example.service_name}: assigned"
    for number, entry in enumerate(group):
        seat = candidates.best()
        if seat is None:
            left.append((filters, group[number:]))
            return
        decision = give(entry, seat, kinds, status, why)
        candidates.taken()
        yield decision


def _node_of(decision: Decision) -> str:
    """Empty where a task is only told why it still waits."""
    return decision.guards[1].id if len(decision.guards) > 1 else ""
