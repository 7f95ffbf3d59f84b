"""What all services' tasks should become: the rules, in their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime

from swarmd.model import OrchestrationConfig, Task, new_id
from swarmd.orchestrator import enforcer
from swarmd.orchestrator.draft import Draft, View
from swarmd.orchestrator.global_services import cover
from swarmd.orchestrator.nodes import Nodes
from swarmd.orchestrator.reaper import orphan, reap
from swarmd.orchestrator.replicated import give_up, keep_one, scale
from swarmd.orchestrator.restart import restart
from swarmd.orchestrator.rollout import roll_out
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
    nodes = Nodes(snapshot)
    tasks: defaultdict[str, list[Entry[Task]]] = defaultdict(list)
    asking: defaultdict[str, list[Entry[Task]]] = defaultdict(list)
    for number, entry in enumerate(snapshot.tasks.values()):
        tasks[entry.value.service_id].append(entry)
        if enforcer.asks_of_its_node(entry.value):
            asking[entry.value.node_id].append(entry)
        if number % PAUSE_EVERY == 0:
            yield
    evicted: set[str] = set()
    for node_id, entries in asking.items():
        evicted.update(enforcer.evict(snapshot, nodes, node_id, entries))
        yield
    view = View(now, nodes, orchestration.task_history_retention_limit, new_task_id, frozenset(evicted))
    decisions: list[Decision] = []
    wake_at: datetime | None = None
    for service_id in [*snapshot.services, *sorted(tasks.keys() - snapshot.services.keys())]:
        draft = Draft(service_id, snapshot.services.get(service_id), view, snapshot.updates.get(service_id))
        yield from draft.read(tasks[service_id])
        yield from _removed(draft) if draft.entry is None else _wanted(draft)
        for decision in draft.decisions():
            if decision is None:
                yield
            else:
                decisions.append(decision)
        if draft.wake_at is not None:
            wake_at = draft.wake_at if wake_at is None else min(wake_at, draft.wake_at)
    return Plan(decisions, wake_at)


def _wanted(draft: Draft) -> Pause:
    view = draft.view
    for slot in draft.slots.values():
        if not slot.is_quiet(view):
            orphan(draft, slot)
            enforcer.reject(slot, view)
            restart(draft, slot)
            keep_one(draft, slot)
        yield
    yield from cover(draft) if draft.service.spec.is_global else scale(draft)
    yield from roll_out(draft)
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
