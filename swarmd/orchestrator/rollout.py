"""Rolling updates: tasks of an older spec are replaced, some slots at a time, and it is watched whether the new ones
hold (swarmkit's ``manager/orchestrator/update``).

Nothing is remembered between two plans but the update's state: which slots have been replaced, since when their tasks
run and which of them failed is read from the tasks, so that any leader goes on with it. All moments are by leaders'
clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from swarmd.model import Task, TaskState, UpdateConfig, UpdateState
from swarmd.orchestrator.draft import Draft, Slot
from swarmd.orchestrator.nodes import has_ended_itself
from swarmd.orchestrator.restart import LONGEST_WAIT, is_settled, successor
from swarmd.reconcile import Pause

IN_PROGRESS, COMPLETED = "update in progress", "update completed"
PAUSED = "update paused due to failure or early termination of task {}"


@dataclass(frozen=True)
class Trial:
    """A slot whose tasks of an older spec were replaced: what has come of the new ones."""

    slot: Slot
    before: Task
    """The last of those that were replaced."""
    tasks: Sequence[Task]
    """Those of the present spec that have come after it."""

    @property
    def outcome(self) -> Task | None:
        """The first that ran, or ended without having run; None while that is open."""
        return next((task for task in self.tasks if _has_run(task) or has_ended_itself(task)), None)

    @property
    def is_open(self) -> bool:
        """Whether an outcome is to come."""
        return self.outcome is None and any(task.desired_state <= TaskState.RUNNING for task in self.tasks)

    def is_since(self, version: int) -> bool:
        """Whether the slot was replaced since the service has this version."""
        stored = self.slot.stored.get(self.tasks[0].id)
        return stored is None or stored.created > version

    def has_failed(self, monitor: timedelta) -> bool:
        """Whether the first that came to something ended before it ran, or too soon after that."""
        task = self.outcome
        if task is None or not has_ended_itself(task):
            return False
        return task.ran_at is None or self._changed_at(task) - task.ran_at <= monitor

    def decided_at(self, now: datetime) -> datetime | None:
        """Since when there is an outcome; None if there is none, or if a wrong clock wrote it."""
        task = self.outcome
        if task is None:
            return None
        at = task.ran_at or self._changed_at(task)
        return None if at - now > LONGEST_WAIT else at

    def _changed_at(self, task: Task) -> datetime:
        """When its end was stored; the plan at hand may have changed the task since."""
        stored = self.slot.stored.get(task.id)
        return task.updated_at if stored is None else stored.value.updated_at


class _Pace:
    """An update's configuration."""

    def __init__(self, config: UpdateConfig) -> None:
        self.parallelism = config.parallelism
        self.pauses = config.failure_action != "continue"
        self.ratio = config.max_failure_ratio
        self.delay = _duration(config.delay)
        monitor = _duration(config.monitor)
        self.monitor = monitor if monitor >= self.delay else self.delay + timedelta(seconds=1)


def roll_out(draft: Draft) -> Pause:
    """Begin, go on with or end the update to the service's present spec. A paused one stands still until the user says
    something else; what is out of date after a completed one, such as on a node that was paused, is replaced without a
    word."""
    known = draft.update
    if known is not None and known.state is UpdateState.PAUSED:
        return
    outdated: list[Slot] = []
    trials: list[Trial] = []
    for slot in draft.slots.values():
        yield
        if len(slot.tasks) == 1 and not draft.is_outdated(slot.tasks[0]):
            continue  # as most slots are most of the time
        if draft.takes_new(slot):
            if _is_outdated(draft, slot):
                outdated.append(slot)
            if (trial := trial_of(draft, slot)) is not None:
                trials.append(trial)
    mine = [trial for trial in trials if trial.is_since(draft.version)]
    if known is None:
        if not outdated and all(trial.before.spec_version == draft.service.spec_version for trial in mine):
            return
        draft.say_of_update(UpdateState.UPDATING, IN_PROGRESS)
    is_watched = known is None or known.state is UpdateState.UPDATING
    pace = _Pace(draft.update_config)
    if is_watched and (culprit := _culprit(pace, mine, outdated)) is not None:
        draft.say_of_update(UpdateState.PAUSED, PAUSED.format(culprit.id))
    elif outdated:
        yield from _go_on(draft, pace, outdated, trials)
    elif is_watched:
        _complete(draft, pace, mine)


def trial_of(draft: Draft, slot: Slot) -> Trial | None:
    """None if the slot had no older spec before, as far as its history goes."""
    if len(slot.tasks) < 2:
        return None
    tasks = [task for task in slot.tasks if task.desired_state is not TaskState.REMOVE]
    for number in range(len(tasks) - 1, -1, -1):
        if draft.is_outdated(tasks[number]):
            new = tasks[number + 1 :]
            return Trial(slot, tasks[number], new) if new else None
    return None


def _is_outdated(draft: Draft, slot: Slot) -> bool:
    runnable = slot.runnable()
    if not runnable:
        return is_settled(slot) and draft.is_outdated(slot.newest)
    if not any(draft.is_outdated(task) for task in runnable):
        return False
    # Start-first, the old task stays while a new one is tried; also when that has ended for good.
    newest = slot.newest
    is_tried = not draft.is_outdated(newest) and (newest.desired_state <= TaskState.RUNNING or is_settled(slot))
    return not (draft.starts_first and is_tried)


def _culprit(pace: _Pace, mine: Sequence[Trial], outdated: Sequence[Slot]) -> Task | None:
    """The task whose failure was one too many."""
    if not pace.pauses:
        return None
    failed = [trial.outcome for trial in mine if trial.has_failed(pace.monitor)]
    slots = {id(slot) for slot in outdated} | {id(trial.slot) for trial in mine}
    return failed[-1] if failed and len(failed) / len(slots) > pace.ratio else None


def _go_on(draft: Draft, pace: _Pace, outdated: list[Slot], trials: Sequence[Trial]) -> Pause:
    """Replace as many more as there are free places; or wait until one is free."""
    now = draft.view.now
    ends = [at + pace.delay for trial in trials if (at := trial.decided_at(now)) is not None]
    ends = sorted(end for end in ends if end > now)
    under_way = len(ends) + sum(trial.is_open for trial in trials)
    free = pace.parallelism - under_way if pace.parallelism else len(outdated)
    outdated.sort(key=lambda slot: (_runs(slot), slot.number, slot.node_id))
    for slot in outdated[: max(0, free)]:
        _renew(draft, slot)
        yield
    if free <= 0 and len(ends) > -free:
        draft.wake(ends[-free])


def _complete(draft: Draft, pace: _Pace, mine: Sequence[Trial]) -> None:
    """Once the last new task has held for one more monitor period."""
    now = draft.view.now
    if any(trial.is_open for trial in mine):
        return
    decided = [at for trial in mine if (at := trial.decided_at(now)) is not None]
    at = max(decided) + pace.delay + pace.monitor if decided else now
    if at > now:
        draft.wake(at)
    else:
        draft.say_of_update(UpdateState.COMPLETED, COMPLETED)


def _renew(draft: Draft, slot: Slot) -> None:
    runnable = slot.runnable()
    if not runnable or (draft.starts_first and _runs(slot)):
        slot.add(draft.new_task(slot), "updated")
        return
    new = successor(draft, slot, runnable[-1])
    for task in runnable:
        slot.want(task, TaskState.SHUTDOWN, draft.view, "updated")
    slot.add(new, "updated")


def _runs(slot: Slot) -> bool:
    return any(task.status.state is TaskState.RUNNING for task in slot.runnable())


def _has_run(task: Task) -> bool:
    return task.ran_at is not None or task.status.state is TaskState.RUNNING


def _duration(nanoseconds: int) -> timedelta:
    return timedelta(microseconds=nanoseconds / 1000)
