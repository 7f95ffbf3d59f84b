"""Replicated services: as many slots as replicas are asked for, numbered from 1 (swarmkit's
``manager/orchestrator/replicated``)."""

from __future__ import annotations

from collections import Counter

from swarmd.model import Task, TaskState
from swarmd.orchestrator.draft import Draft, Slot, View
from swarmd.orchestrator.restart import is_settled
from swarmd.reconcile import Pause


def scale(draft: Draft) -> Pause:
    """Fill the lowest free slots, or give up those that are most worth it."""
    wanted = draft.service.spec.replicas
    occupied: dict[int, Slot] = {}
    for slot in draft.slots.values():
        if slot.is_quiet(draft.view) or slot.runnable() or is_settled(slot):
            occupied[slot.number] = slot
        yield
    if len(occupied) < wanted:
        yield from _fill(draft, set(occupied), wanted - len(occupied))
    elif len(occupied) > wanted:
        for slot in _by_worth(list(occupied.values()))[wanted:]:
            yield
            give_up(slot, draft.view, "scaled down")
    if len(occupied) == len(draft.slots):
        return
    for slot in draft.slots.values():
        if slot.number not in occupied and not slot.runnable():
            give_up(slot, draft.view, "slot given up")


def give_up(slot: Slot, view: View, why: str) -> None:
    """All of a slot is to stop and to be forgotten, its history too."""
    for task in slot.tasks:
        slot.want(task, TaskState.REMOVE, view, why)


def keep_one(slot: Slot, view: View) -> None:
    """Of several tasks that are to run in a slot, the newest that runs stays."""
    runnable = slot.runnable()
    if len(runnable) < 2:
        return
    running = [task for task in runnable if task.status.state is TaskState.RUNNING]
    kept = (running or runnable)[-1]
    for task in runnable:
        if task.id != kept.id:
            slot.want(task, TaskState.SHUTDOWN, view, "one task too many in a slot")


def _fill(draft: Draft, occupied: set[int], missing: int) -> Pause:
    number = 0
    for _ in range(missing):
        number += 1
        while number in occupied:
            number += 1
        slot = draft.slot(number)
        slot.add(draft.new_task(slot), "scaled up")
        yield


def _by_worth(slots: list[Slot]) -> list[Slot]:
    """Those to keep first: placed before unplaced; the first copies on their nodes before second ones, so that the
    rest stays spread; running before others, low numbers before high."""
    placed = sorted(slots, key=lambda slot: (not _runs(slot), slot.number))
    copies: Counter[str] = Counter()
    worth: list[tuple[bool, int, bool, int, Slot]] = []
    for slot in placed:
        node_id = _current(slot).node_id
        copies[node_id] += 1
        worth.append((not node_id, copies[node_id] if node_id else 0, not _runs(slot), slot.number, slot))
    return [slot for *_, slot in sorted(worth, key=lambda entry: entry[:4])]


def _current(slot: Slot) -> Task:
    runnable = slot.runnable()
    return runnable[-1] if runnable else slot.newest


def _runs(slot: Slot) -> bool:
    return _current(slot).status.state is TaskState.RUNNING
