"""What all services' tasks should become: the rules, in their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime

from swarmd.model import OrchestrationConfig, Task, new_id
from swarmd.orchestrator.draft import Draft, View
from swarmd.orchestrator.nodes import Nodes
from swarmd.orchestrator.reaper import orphan, reap
from swarmd.orchestrator.replicated import give_up, keep_one, scale
from swarmd.orchestrator.restart import restart
from swarmd.orchestrator.update import update
from swarmd.reconcile import Decision, Pause, Plan, Planning, complete
from swarmd.store.contract import Entry, Snapshot

PAUSE_EVERY = 500
"""Tasks between two pauses while they are sorted by service: below a millisecond."""


def plan(snapshot: Snapshot, now: datetime, new_task_id: Callable[[], str] = new_id) -> Plan:
    """Pure but for the ids, which come from ``new_task_id``. Applied, it leaves nothing to plan at ``now``."""
    return complete(planning(snapshot, now, new_task_id))


def planning(snapshot: Snapshot, now: datetime, new_task_id: Callable[[], str] = new_id) -> Planning:
    """The same, pausing on the way."""
    cluster = snapshot.cluster
    orchestration = OrchestrationConfig() if cluster is None else cluster.value.spec.orchestration
    view = View(now, Nodes(snapshot), orchestration.task_history_retention_limit, new_task_id)
    tasks: defaultdict[str, list[Entry[Task]]] = defaultdict(list)
    for number, entry in enumerate(snapshot.tasks.values()):
        tasks[entry.value.service_id].append(entry)
        if number % PAUSE_EVERY == 0:
            yield
    decisions: list[Decision] = []
    wake_at: datetime | None = None
    for service_id in [*snapshot.services, *sorted(tasks.keys() - snapshot.services.keys())]:
        draft = Draft(service_id, snapshot.services.get(service_id), view)
        yield from draft.read(tasks[service_id])
        yield from _removed(draft) if draft.entry is None else _replicated(draft)
        for slot in draft.slots.values():
            if slot.touched:
                decisions += draft.decisions(slot)
                yield
        if draft.wake_at is not None:
            wake_at = draft.wake_at if wake_at is None else min(wake_at, draft.wake_at)
    return Plan(decisions, wake_at)


def _replicated(draft: Draft) -> Pause:
    view = draft.view
    for slot in draft.slots.values():
        if not slot.is_quiet(view):
            orphan(draft, slot)
            restart(draft, slot)
            keep_one(slot, view)
        yield
    yield from scale(draft)
    yield from update(draft)
    for slot in draft.slots.values():
        if not slot.is_quiet(view):
            reap(draft, slot)
            yield


def _removed(draft: Draft) -> Pause:
    for slot in draft.slots.values():
        orphan(draft, slot)
        give_up(slot, draft.view, "service removed")
        reap(draft, slot)
        yield
