"""Keeps the tasks of all services as they should be, while this node leads."""

from __future__ import annotations

from swarmd.orchestrator.plan import planning
from swarmd.reconcile import Reconciler
from swarmd.store.contract import Store


async def run(store: Store, epoch: int) -> None:
    """Ends only by an error, or when it is cancelled.

    :raises swarmd.errors.Deposed: another leader has come.
    """
    await Reconciler("orchestrator", store, epoch, planning).run()
