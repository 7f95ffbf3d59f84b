"""Which tasks are forgotten, and which are given up as orphans (swarmkit's ``taskreaper`` and ``dispatcher``)."""

from __future__ import annotations

from msgspec.structs import replace

from swarmd.model import Task, TaskState, UpdateState
from swarmd.orchestrator.draft import Draft, Slot
from swarmd.orchestrator.nodes import NODE_DELETED, is_held
from swarmd.orchestrator.rollout import trial_of


def orphan(draft: Draft, slot: Slot) -> None:
    """Say of tasks that no one will ever report on that they are orphaned."""
    view = draft.view
    for task in slot.tasks:
        if not is_held(task):
            continue
        if not view.nodes.exists(task.node_id):
            _orphan(draft, slot, task, NODE_DELETED)
            continue
        at = view.nodes.given_up_at(task.node_id)
        if at is not None and at <= view.now:
            _orphan(draft, slot, task, task.status.message)
        elif at is not None:
            draft.wake(at)


def reap(draft: Draft, slot: Slot) -> None:
    """Forget tasks that were to be removed and are gone; and of a slot's history what is beyond the limit.

    The newest of a slot always stays: where the restart policy wants no other, it is what fills the slot. While it is
    to run and does not, the one before it stays too: it says what is being restarted or updated. While an update is
    rolled out, what it is judged by stays: the slot's first new task, and the one before it.
    """
    for task in slot.tasks:
        if task.desired_state is TaskState.REMOVE and _is_gone(task):
            slot.delete(task, "task forgotten")
    limit = _limit(draft)
    if limit < 0:
        return
    excess = len(slot.tasks) - limit
    if excess <= 0:
        return
    needed = _needed_by_update(draft, slot)
    for task in slot.tasks[: -2 if _is_on_its_way(slot) else -1]:
        if excess <= 0:
            return
        if task.desired_state > TaskState.RUNNING and _is_gone(task) and task.id not in needed:
            slot.delete(task, "history shortened")
            excess -= 1


def _is_on_its_way(slot: Slot) -> bool:
    if not slot.tasks:
        return False
    newest = slot.newest
    return newest.desired_state <= TaskState.RUNNING and newest.status.state is not TaskState.RUNNING


def _needed_by_update(draft: Draft, slot: Slot) -> frozenset[str]:
    if draft.entry is None or draft.update is None or draft.update.state is not UpdateState.UPDATING:
        return frozenset()
    trial = trial_of(draft, slot)
    if trial is None:
        return frozenset()
    return frozenset({trial.before.id, (trial.outcome or trial.tasks[0]).id, trial.tasks[0].id})


def _limit(draft: Draft) -> int:
    limit = draft.view.history_limit
    policy = None if draft.entry is None else draft.service.spec.task_template.restart_policy
    if limit < 0 or policy is None or not policy.max_attempts:
        return limit
    return policy.max_attempts + 1  # a new leader counts the attempts that are stored


def _is_gone(task: Task) -> bool:
    return task.status.state.is_final or task.status.state < TaskState.ASSIGNED


def _orphan(draft: Draft, slot: Slot, task: Task, message: str) -> None:
    now = draft.view.now
    status = replace(task.status, state=TaskState.ORPHANED, timestamp=now, message=message)
    slot.change(replace(task, status=status, updated_at=now), "task orphaned")
