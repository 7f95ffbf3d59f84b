"""Replicated services: as many slots as replicas are asked for, numbered from 1 (swarmkit's
``manager/orchestrator/replicated``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

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


def keep_one(draft: Draft, slot: Slot) -> None:
    """Of several tasks that are to run in a slot, the newest that runs stays. While an update starts the new one first,
    the best of the old ones stays too until then."""
    runnable = slot.runnable()
    if len(runnable) < 2:
        return
    new = [task for task in runnable if not draft.is_outdated(task)]
    kept = {_best(runnable).id}
    if draft.starts_first and new and not any(map(_is_running, new)):
        old = [task for task in runnable if draft.is_outdated(task)]
        kept = {_best(new).id} | ({_best(old).id} if old else set())
    for task in runnable:
        if task.id not in kept:
            why = "updated" if new and draft.is_outdated(task) else "one task too many in a slot"
            slot.want(task, TaskState.SHUTDOWN, draft.view, why)


def _best(tasks: Sequence[Task]) -> Task:
    return ([task for task in tasks if _is_running(task)] or tasks)[-1]


def _is_running(task: Task) -> bool:
    return task.status.state is TaskState.RUNNING


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
    return _best(slot.runnable() or slot.tasks)


def _runs(slot: Slot) -> bool:
    return _is_running(_current(slot))
