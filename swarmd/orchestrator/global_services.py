"""Global services: one task on each node that meets the constraints (swarmkit's ``manager/orchestrator/global``).

A node is what a slot's number is to a replicated service; its tasks have it from the beginning, and the scheduler only
confirms that it has room. A paused node keeps what it has and gets nothing new.
"""

from __future__ import annotations

from swarmd.model import RestartCondition, RestartPolicy, TaskState
from swarmd.orchestrator.draft import Draft, Slot
from swarmd.orchestrator.nodes import has_ended_itself, is_going
from swarmd.orchestrator.replicated import give_up
from swarmd.orchestrator.restart import is_settled
from swarmd.reconcile import Pause


def cover(draft: Draft) -> Pause:
    """Give each fitting node its task, and stop those on nodes that do not fit, or are gone."""
    view = draft.view
    for slot in draft.slots.values():
        if not view.nodes.exists(slot.node_id):
            give_up(slot, view, "node removed")
        elif not draft.fits(slot.node_id):
            _leave(draft, slot)
        yield
    for node_id in view.nodes:
        if view.nodes.take_new(node_id) and draft.fits(node_id):
            slot = draft.slot(node_id)
            if not slot.runnable() and not _is_done(slot):
                _add(draft, slot)
        yield


def _leave(draft: Draft, slot: Slot) -> None:
    """Where the constraints are as they were, the node has changed: what it runs is the enforcer's, who leaves paused
    nodes alone."""
    view = draft.view
    for task in slot.runnable():
        waits = task.status.state < TaskState.ASSIGNED and view.nodes.take_new(slot.node_id)
        if waits or draft.is_outdated(task):
            slot.want(task, TaskState.SHUTDOWN, view, "node does not meet constraints")


def _add(draft: Draft, slot: Slot) -> None:
    """A node that comes back may still be stopping what it had before."""
    before = slot.newest if slot.tasks else None
    going = before is not None and is_going(before, draft.view.nodes)
    slot.add(draft.new_task(slot, waits_for=before.id if before is not None and going else ""), "task for a node")


def _is_done(slot: Slot) -> bool:
    """Whether the node's task has ended and its policy wants no other. A task that its node had to give up has used up
    no attempt; but with the condition none, as on Docker, there is no other one even when the node comes back."""
    if not is_settled(slot):
        return False
    policy = slot.newest.spec.restart_policy or RestartPolicy()
    return has_ended_itself(slot.newest) or policy.condition is RestartCondition.NONE
