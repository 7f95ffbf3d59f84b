"""A service's tasks while a plan is made: as stored, with what the plan has changed so far.

All rules work on one draft in turn, so that the last sees what the first decided, and a plan that is applied leaves
nothing to plan. What a slot's tasks become is one decision; slots are independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from swarmd import constraints
from swarmd.model import (
    Service,
    ServiceUpdate,
    Task,
    TaskState,
    TaskStatus,
    UpdateConfig,
    UpdateState,
)
from swarmd.orchestrator.nodes import Nodes
from swarmd.reconcile import Decision, Pause
from swarmd.store.contract import Change, Delete, Entry, Kind, Put, Unchanged

PENDING = "pending task scheduling"


@dataclass(frozen=True)
class View:
    """What rules see beside the service itself."""

    now: datetime
    nodes: Nodes
    history_limit: int
    """Tasks of a slot that are kept; negative is for ever."""
    new_id: Callable[[], str]
    evicted: frozenset[str] = frozenset()
    """Tasks that their nodes are not fit for any more."""


@dataclass(slots=True)
class Slot:
    """One of a service's places: a number, or for a global service a node. ``tasks`` is its history, oldest first; at
    most one of them is to run, or two while an update starts the new one first."""

    number: int
    """0 for a node's."""
    node_id: str = ""
    """Of a global service's."""
    tasks: list[Task] = field(default_factory=list)
    stored: dict[str, Entry[Task]] = field(default_factory=dict)
    """By task id."""
    touched: dict[str, tuple[Task | None, str]] = field(default_factory=dict)
    """What becomes of tasks, None if they are forgotten, and why."""

    def is_quiet(self, view: View) -> bool:
        """Whether no rule for a single slot has anything to say: its only task is to run, has not ended, and either
        waits for a node or has a good one. Most slots are so most of the time."""
        if len(self.tasks) != 1:
            return False
        task = self.tasks[0]
        return (
            task.desired_state is TaskState.RUNNING
            and task.status.state <= TaskState.RUNNING
            and (not task.node_id or view.nodes.can_keep(task.node_id))
            and task.id not in view.evicted
        )

    @property
    def newest(self) -> Task:
        return self.tasks[-1]

    def runnable(self) -> list[Task]:
        """Those that are to run, or to be made ready to."""
        return [task for task in self.tasks if task.desired_state <= TaskState.RUNNING]

    def find(self, task_id: str) -> Task | None:
        return next((task for task in self.tasks if task.id == task_id), None)

    def add(self, task: Task, why: str) -> None:
        self.tasks.append(task)
        self.touched[task.id] = task, why

    def change(self, task: Task, why: str) -> None:
        self.tasks = [task if other.id == task.id else other for other in self.tasks]
        self.touched[task.id] = task, why

    def delete(self, task: Task, why: str) -> None:
        self.tasks = [other for other in self.tasks if other.id != task.id]
        self.touched[task.id] = None, why

    def want(self, task: Task, desired: TaskState, view: View, why: str) -> None:
        """Raise the desired state; it never goes back."""
        if task.desired_state < desired:
            self.change(replace(task, desired_state=desired, updated_at=view.now), why)


Key = int | str
"""A slot's number, or the id of the node that is one."""


def key_of(task: Task) -> Key:
    return task.slot or task.node_id


class Draft:
    def __init__(
        self,
        service_id: str,
        service: Entry[Service] | None,
        view: View,
        update: Entry[ServiceUpdate] | None = None,
    ) -> None:
        """
        :param service: None if it was removed.
        :param update: what is stored of its last rolling update, which may be one of an older version of it.
        """
        self.service_id, self.entry, self.view = service_id, service, view
        self._stored_update = update
        self._new_update: ServiceUpdate | None = None
        self.wake_at: datetime | None = None
        self._name = service_id
        self.slots: dict[Key, Slot] = {}
        self._service_unchanged = Unchanged(Kind.SERVICE, service_id, 0 if service is None else service.version)
        if service is not None:
            self._name = service.value.spec.name

    def read(self, tasks: Iterable[Entry[Task]]) -> Pause:
        """The stored tasks of the service."""
        for entry in tasks:
            task = entry.value
            slot = self.slot(key_of(task))
            slot.tasks.append(task)
            slot.stored[task.id] = entry
            if self.entry is None:
                self._name = task.service_name
            yield
        for slot in self.slots.values():
            if len(slot.tasks) > 1:  # by the store's own order: leaders' clocks differ
                stored = slot.stored
                slot.tasks.sort(key=lambda task: (stored[task.id].created, task.id))
                yield

    @property
    def service(self) -> Service:
        if self.entry is None:
            raise LookupError(self.service_id)
        return self.entry.value

    @property
    def update(self) -> ServiceUpdate | None:
        """How the rolling update to this very version of the service gets on; None if none has begun."""
        if self._new_update is not None:
            return self._new_update
        stored = self._stored_update
        return stored.value if stored is not None and stored.value.service_version == self.version else None

    @property
    def update_config(self) -> UpdateConfig:
        return self.service.spec.update_config or UpdateConfig()

    @property
    def starts_first(self) -> bool:
        """Whether an update stops an old task only when the new one runs."""
        return self.update_config.order == "start-first"

    @property
    def version(self) -> int:
        """Of the service's entry."""
        return self._service_unchanged.version

    def say_of_update(self, state: UpdateState, message: str) -> None:
        """How the rolling update gets on from now on."""
        known, now = self.update, self.view.now
        self._new_update = ServiceUpdate(
            service_id=self.service_id,
            service_version=self.version,
            state=state,
            started_at=now if known is None else known.started_at,
            completed_at=now if state is UpdateState.COMPLETED else None,
            message=message,
        )

    def is_outdated(self, task: Task) -> bool:
        return constraints.is_out_of_date(task, self.service, self.view.nodes.meet)

    def fits(self, node_id: str) -> bool:
        """Whether the node meets the service's present constraints."""
        placement = self.service.spec.task_template.placement
        return placement is None or self.view.nodes.meet(placement.constraints, node_id)

    def takes_new(self, slot: Slot) -> bool:
        """Whether there may be a new task in the slot now. A number may always have one: the scheduler finds a node."""
        return not slot.node_id or (self.view.nodes.take_new(slot.node_id) and self.fits(slot.node_id))

    def slot(self, key: Key) -> Slot:
        found = self.slots.get(key)
        if found is None:
            found = self.slots[key] = Slot(key) if isinstance(key, int) else Slot(0, key)
        return found

    def wake(self, at: datetime) -> None:
        """Plan again then, at the latest."""
        if self.wake_at is None or at < self.wake_at:
            self.wake_at = at

    def new_task(self, slot: Slot, *, run_at: datetime | None = None, waits_for: str = "") -> Task:
        """A task of the service's present spec; desired Ready if it has to wait for anything, else Running. That of a
        global service has its node from the beginning."""
        service, now = self.service, self.view.now
        return Task(
            id=self.view.new_id(),
            service_id=service.id,
            service_name=service.spec.name,
            slot=slot.number,
            spec=service.spec.task_template,
            spec_version=service.spec_version,
            created_at=now,
            updated_at=now,
            desired_state=TaskState.READY if run_at or waits_for else TaskState.RUNNING,
            status=TaskStatus(timestamp=now, state=TaskState.PENDING, message=PENDING),
            node_id=slot.node_id,
            run_at=run_at,
            waits_for=waits_for,
            service_labels=service.spec.labels,
            endpoint=service.spec.endpoint_spec,
        )

    def decisions(self) -> Iterator[Decision | None]:
        """All that was decided; None is a pause. What becomes of the update comes first. Transactions of one plan may
        overtake each other all the same: replaced tasks of an update that nobody knows of begin it anew."""
        if self._new_update is not None:
            update, stored = self._new_update, self._stored_update
            known = Unchanged(Kind.UPDATE, self.service_id, 0 if stored is None else stored.version)
            put: list[Change] = [Put(Kind.UPDATE, self.service_id, update)]
            yield self._decision(update.message, put, [self._service_unchanged, known])
        for slot in self.slots.values():
            if slot.touched:
                yield from self._of_slot(slot)
                yield None

    def _of_slot(self, slot: Slot) -> Iterator[Decision]:
        """What becomes of a slot: its tasks change together, or not at all; each may be forgotten for itself, because a
        history may be longer than a transaction."""
        puts: list[Change] = []
        guards = [self._service_unchanged]
        reasons = []
        for task_id, (task, why) in slot.touched.items():
            stored = slot.stored.get(task_id)
            version = 0 if stored is None else stored.version
            unchanged = Unchanged(Kind.TASK, task_id, version)
            if task is not None:
                puts.append(Put(Kind.TASK, task_id, task))
                guards.append(unchanged)
                reasons.append(why)
            elif version:
                yield self._decision(why, [Delete(Kind.TASK, task_id)], [self._service_unchanged, unchanged])
        if puts:
            yield self._decision(reasons[0], puts, guards)

    def _decision(self, why: str, changes: list[Change], guards: list[Unchanged]) -> Decision:
        return Decision(f"{self._name}: {why}", changes, guards)
