"""Failures of the last five minutes. The history keeps five tasks of a slot, the running one included: too few to see
a node fail five times with one replica. A new leader starts with what is stored."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime

from swarmd.scheduler.seats import FAILURES_COUNT_FOR, Version, has_failed, version_of
from swarmd.store.contract import Snapshot


class Memory:
    def __init__(self) -> None:
        self._failed: dict[str, tuple[datetime, str, Version]] = {}

    def learn(self, snapshot: Snapshot, now: datetime) -> None:
        for task_id, entry in snapshot.tasks.items():
            task = entry.value
            if task.node_id and has_failed(task) and task_id not in self._failed:
                self._failed[task_id] = (task.status.timestamp, task.node_id, version_of(task))
        self._failed = {
            task_id: failure for task_id, failure in self._failed.items() if now - failure[0] < FAILURES_COUNT_FOR
        }

    def failures(self) -> dict[str, Counter[Version]]:
        counted: defaultdict[str, Counter[Version]] = defaultdict(Counter)
        for _, node_id, version in self._failed.values():
            counted[node_id][version] += 1
        return counted
