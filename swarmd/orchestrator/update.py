"""Tasks of an older spec are replaced, stop-first, as many slots at once as the update's parallelism says.

This is the seam for rolling updates: delay, monitor, order, failure action and ``UpdateStatus`` are not there yet.
Until then an update whose new tasks do not get to run stands still instead of breaking the rest of the service.
"""

from __future__ import annotations

from swarmd.model import TaskState, UpdateConfig
from swarmd.orchestrator.draft import Draft, Slot
from swarmd.orchestrator.restart import is_settled, successor
from swarmd.reconcile import Pause


def update(draft: Draft) -> Pause:
    service = draft.service
    version = service.spec_version
    outdated = []
    for slot in draft.slots.values():
        if _is_outdated(slot, version):
            outdated.append(slot)
        yield
    if not outdated:
        return
    parallelism = (service.spec.update_config or UpdateConfig()).parallelism or len(outdated)
    under_way = sum(_is_under_way(slot, version) for slot in draft.slots.values())
    outdated.sort(key=lambda slot: (_runs(slot), slot.number))
    for slot in outdated[: max(0, parallelism - under_way)]:
        _replace(draft, slot)
        yield


def _is_outdated(slot: Slot, version: int) -> bool:
    if all(task.spec_version == version for task in slot.tasks):
        return False
    if any(task.spec_version != version for task in slot.runnable()):
        return True
    return is_settled(slot) and slot.newest.spec_version != version


def _is_under_way(slot: Slot, version: int) -> bool:
    """Whether a task of the new spec has come into the slot after another one, and does not run (yet, or any more)."""
    runnable = slot.runnable()
    return (
        bool(runnable)
        and runnable[-1].spec_version == version
        and runnable[-1].status.state is not TaskState.RUNNING
        and len(slot.tasks) > 1
    )


def _replace(draft: Draft, slot: Slot) -> None:
    runnable = slot.runnable()
    if not runnable:
        slot.add(draft.new_task(slot), "updated")
        return
    new = successor(draft, slot, runnable[-1])
    for task in runnable:
        slot.want(task, TaskState.SHUTDOWN, draft.view, "updated")
    slot.add(new, "updated")


def _runs(slot: Slot) -> bool:
    return any(task.status.state is TaskState.RUNNING for task in slot.runnable())
