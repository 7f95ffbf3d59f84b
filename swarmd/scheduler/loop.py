"""Gives every task that waits a node, while this node leads."""

from __future__ import annotations

from datetime import datetime

from swarmd.reconcile import Debounce, Planning, Reconciler
from swarmd.scheduler.memory import Memory
from swarmd.scheduler.place import placing
from swarmd.store.contract import Snapshot, Store

DEBOUNCE = Debounce(quiet=0.05, longest=1.0)
"""As swarmkit: what is created together is spread together."""


async def run(store: Store, epoch: int) -> None:
    """Ends only by an error, or when it is cancelled.

    :raises swarmd.errors.Deposed: another leader has come.
    """
    memory = Memory()

    def planner(snapshot: Snapshot, now: datetime) -> Planning:
        memory.learn(snapshot, now)
        return placing(snapshot, now, memory.failures())

    await Reconciler("scheduler", store, epoch, planner, debounce=DEBOUNCE).run()
