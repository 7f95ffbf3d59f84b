"""The nodes that would do, so ordered that the best is found at once: a heap of nodes, and for each placement
preference a heap of branches over it.

A branch is all nodes with one value of a label, or without it. A task goes to the branch with the fewest copies of its
service where it still fits, level by level, and there to the best node; so a branch without room leaves its part to the
others. Copies on nodes of a branch that would not do count too. Source: swarmkit ``manager/scheduler/nodeset.go``,
which splits a group's tasks among the branches at once: in numbers it comes to the same, but for branches that hold
more than their part already, where swarmkit gives one of the others too much.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from swarmd.constraints import label_of, names_label
from swarmd.model import Task
from swarmd.scheduler.filters import Filter, allows
from swarmd.scheduler.rank import Rank, rank
from swarmd.scheduler.seats import Seat

Key = tuple[Any, ...]
"""Copies in the branch of each level, and the node's rank, nested; the least is the best."""


class Tree(Protocol):
    def best(self) -> Seat | None:
        """Where the next task goes; None: nowhere."""

    def taken(self) -> None:
        """The best has taken a task."""

    def key(self) -> Key | None:
        """Of the best."""


class _Nodes:
    def __init__(self, example: Task, filters: Sequence[Filter], seats: Iterable[Seat]) -> None:
        self._example = example
        self._may_change = [each for each in filters if each.is_about_tasks]
        self._heap: list[tuple[Rank, Seat]] = [(rank(example, seat), seat) for seat in seats if allows(filters, seat)]
        heapq.heapify(self._heap)

    def best(self) -> Seat | None:
        return self._heap[0][1] if self._heap else None

    def taken(self) -> None:
        _, seat = self._heap[0]
        if allows(self._may_change, seat):
            heapq.heapreplace(self._heap, (rank(self._example, seat), seat))
        else:
            heapq.heappop(self._heap)

    def key(self) -> Key | None:
        return self._heap[0][0] if self._heap else None


class _Branches:
    def __init__(self, branches: Iterable[tuple[int, Tree]]) -> None:
        """
        :param branches: with the copies that each has.
        """
        self._heap: list[tuple[int, Key, Tree]] = [
            (copies, key, tree) for copies, tree in branches if (key := tree.key()) is not None
        ]
        heapq.heapify(self._heap)

    def best(self) -> Seat | None:
        return self._heap[0][2].best() if self._heap else None

    def taken(self) -> None:
        copies, _, tree = self._heap[0]
        tree.taken()
        key = tree.key()
        if key is None:
            heapq.heappop(self._heap)
        else:
            heapq.heapreplace(self._heap, (copies + 1, key, tree))

    def key(self) -> Key | None:
        return self._heap[0][:2] if self._heap else None


def tree(example: Task, filters: Sequence[Filter], seats: Sequence[Seat]) -> Tree:
    """
    :param example: one of the tasks to be placed; they have one spec.
    """
    return _grow(example, filters, seats, descriptors(example))


def descriptors(task: Task) -> list[str]:
    """What is spread over, first level first. Anything but labels is passed over."""
    if task.spec.placement is None:
        return []
    spread = [each.spread.spread_descriptor for each in task.spec.placement.preferences if each.spread is not None]
    return [each for each in spread if names_label(each)]


def _grow(example: Task, filters: Sequence[Filter], seats: Sequence[Seat], levels: Sequence[str]) -> Tree:
    if not levels:
        return _Nodes(example, filters, seats)
    branches: defaultdict[str, list[Seat]] = defaultdict(list)
    for seat in seats:
        branches[label_of(levels[0], seat.node, seat.liveness)].append(seat)
    service_id = example.service_id
    return _Branches(
        (sum(seat.by_service[service_id] for seat in branch), _grow(example, filters, branch, levels[1:]))
        for branch in branches.values()
    )
