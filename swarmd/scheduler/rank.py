"""Which of the nodes that would do is taken."""

from __future__ import annotations

from swarmd.model import Task
from swarmd.scheduler.seats import Seat, version_of

TOO_MANY_FAILURES = 5
"""Of one version of a service on one node within five minutes: the node may be what is wrong."""

Rank = tuple[int, int, int, str]


def rank(task: Task, seat: Seat) -> Rank:
    """The least is the best: not failing, fewest copies of this service, fewest tasks at all; ids only break ties."""
    failures = seat.failures[version_of(task)]
    return (
        failures if failures >= TOO_MANY_FAILURES else 0,
        seat.by_service[task.service_id],
        seat.tasks,
        seat.node.id,
    )
