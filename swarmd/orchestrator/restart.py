"""Restarts: what has ended, or lost its node, is replaced as its restart policy says (swarmkit's
``manager/orchestrator/restart``).

A replacement exists at once, with desired state Ready: it is placed, pulled and created while the delay runs. The delay
and the task that it waits for are part of it, so that any leader goes on with them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from swarmd.model import RestartCondition, RestartPolicy, Task, TaskState
from swarmd.orchestrator.draft import Draft, Slot, View
from swarmd.orchestrator.nodes import EVICTED, is_going

DEFAULT_DELAY = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=1)
"""How long a replacement waits for the end of what it replaces. Also how far leaders' clocks may be apart: a moment
that is further away than its delay and this was written by a wrong clock, and is not waited for."""


def restart(draft: Draft, slot: Slot) -> None:
    """Replace the slot's tasks that cannot go on, and let replacements run whose time has come."""
    view = draft.view
    for task in slot.runnable():
        may_run = task.desired_state is TaskState.RUNNING or starts_at(slot, task, view) <= view.now
        if task.status.state.is_final:
            # While its own delay runs, a replacement that failed is not replaced: else a task without an image
            # would be tried in a tight loop.
            if may_run:
                _replace(draft, slot, task, _how_it_ended(task))
        elif task.node_id and not view.nodes.can_keep(task.node_id):
            _replace(draft, slot, task, _what_ails(view, task.node_id))
    for task in slot.runnable():
        if task.desired_state is TaskState.RUNNING:
            continue
        at = starts_at(slot, task, view)
        if at > view.now:
            draft.wake(at)
        elif not task.status.state.is_final:
            slot.want(task, TaskState.RUNNING, view, "waited long enough")


def starts_at(slot: Slot, task: Task, view: View) -> datetime:
    """When a task that was made Ready may run, if nothing else changes until then."""
    at = task.run_at or view.now
    if at - view.now > _delay(task) + LONGEST_WAIT:
        at = view.now
    old = slot.find(task.waits_for) if task.waits_for else None
    if old is not None and is_going(old, view.nodes) and abs(view.now - task.created_at) < LONGEST_WAIT:
        at = max(at, task.created_at + LONGEST_WAIT)
    return at


def allows_another(slot: Slot, task: Task) -> bool:
    """Whether the restart policy lets a task be replaced that has ended or is to end.

    Attempts are the tasks that the slot has had of this version of the spec, but for the first. They are counted among
    those that are stored; the reaper keeps enough of them.
    """
    policy = task.spec.restart_policy or RestartPolicy()
    if policy.condition is RestartCondition.NONE:
        return False
    if policy.condition is RestartCondition.ON_FAILURE and task.status.state is TaskState.COMPLETE:
        return False
    if not policy.max_attempts:
        return True
    same = [
        other
        for other in slot.tasks
        if other.spec_version == task.spec_version and other.desired_state is not TaskState.REMOVE
    ]
    attempts = same[1:]
    if policy.window:
        since = task.status.timestamp - timedelta(microseconds=policy.window / 1000)
        attempts = [other for other in attempts if other.created_at > since]
    return len(attempts) < policy.max_attempts


def is_settled(slot: Slot) -> bool:
    """Whether the slot is done: its newest task is not to run, and its policy wants no other.

    Such a slot is not empty; a service of finished tasks has its replicas.
    """
    if not slot.tasks:
        return False
    newest = slot.newest
    return newest.desired_state is TaskState.SHUTDOWN and not allows_another(slot, newest)


def successor(draft: Draft, slot: Slot, old: Task, *, delay: timedelta = timedelta(0)) -> Task:
    """What takes the place of ``old`` once that has stopped, and after the delay."""
    view = draft.view
    if old.desired_state < TaskState.RUNNING:  # it never ran: what it waited for is still to be waited for
        return draft.new_task(slot, run_at=old.run_at if delay else None, waits_for=old.waits_for)
    return draft.new_task(
        slot,
        run_at=view.now + delay if delay else None,
        waits_for=old.id if is_going(old, view.nodes) else "",
    )


def _replace(draft: Draft, slot: Slot, task: Task, why: str) -> None:
    view = draft.view
    # A slot whose update has started the new task first needs no other one instead of the old.
    has_newer = any(other.id != task.id for other in slot.runnable()[-1:])
    again = allows_another(slot, task) and draft.takes_new(slot) and not has_newer
    slot.want(task, TaskState.SHUTDOWN, view, why)
    if again:
        # A delay spares a node a task that keeps failing; here it is the node that has failed its task.
        delay = timedelta(0) if view.nodes.is_lost(task.node_id) else _delay(task)
        slot.add(successor(draft, slot, task, delay=delay), why)


def _delay(task: Task) -> timedelta:
    policy = task.spec.restart_policy
    if policy is None or policy.delay is None:
        return DEFAULT_DELAY
    return timedelta(microseconds=policy.delay / 1000)


def _how_it_ended(task: Task) -> str:
    return "task evicted" if task.status.message == EVICTED else f"task {task.status.state.word}"


def _what_ails(view: View, node_id: str) -> str:
    if not view.nodes.exists(node_id):
        return "node removed"
    return "node drained" if view.nodes.is_drained(node_id) else "node down"
