"""Probes the machines of all nodes, all the time, on every manager: so that a new leader knows at once who is there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from ipaddress import ip_address

from swarmd.dispatcher.judge import Signal
from swarmd.dispatcher.probe import Probe
from swarmd.store import Store
from swarmd.task_group import TaskGroup

INTERVAL = 0.5
"""Seconds between two probes of a machine."""
PROBES_PER_SECOND = 400
"""In all, which is some percent of a core; with more than 200 machines they are probed less often."""
ON_TIME = 0.25
"""Seconds by which a probe may end late. A later loss is not counted: this process stood still, and missed answers."""

AT_ONCE = 0.1
"""Seconds; a machine beside answers within one millisecond, an emulated one under load within some tens."""


class Prober:
    def __init__(
        self, probe: Probe, *, interval: float = INTERVAL, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._probe = probe
        self._interval = interval
        self._clock = clock
        self._signals: dict[str, Signal] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    @property
    def signals(self) -> Mapping[str, Signal]:
        """By address."""
        return self._signals

    def watch(self, addresses: Iterable[str]) -> None:
        """Probe these from now on, and no others. What is known of those that stay is kept."""
        wanted = set(filter(_can_be_asked, addresses))
        if wanted == self._signals.keys():
            return
        self._signals = {address: self._signals.get(address, Signal()) for address in wanted}
        self._changed.set()

    async def answering(self, addresses: Set[str], *, within: float = AT_ONCE) -> Set[str]:
        """Of these, the machines that answer now."""
        found: set[str] = set()

        async def ask(address: str) -> None:
            if await self._probe.answered(address):
                found.add(address)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within), TaskGroup() as group:
                for address in filter(_can_be_asked, addresses):
                    group.create_task(ask(address))
        return found

    async def run(self) -> None:
        """Until cancelled."""
        self._tasks = {}
        async with TaskGroup() as group:
            while True:
                self._changed.clear()
                for address in self._tasks.keys() - self._signals.keys():
                    self._tasks.pop(address).cancel()
                for address in self._signals.keys() - self._tasks.keys():
                    self._tasks[address] = group.create_task(self._ask_again_and_again(address))
                await self._changed.wait()

    async def follow(self, store: Store, own_node_id: str) -> None:
        """Keep the watched addresses those of the cluster's other nodes. Until cancelled."""
        snapshot = store.snapshot()
        while True:
            self.watch(liveness.value.address for id, liveness in snapshot.liveness.items() if id != own_node_id)
            snapshot = await store.changed(snapshot.revision)
            await asyncio.sleep(self._interval)

    async def _ask_again_and_again(self, address: str) -> None:
        while True:
            interval = max(self._interval, len(self._signals) / PROBES_PER_SECOND)
            asked = self._clock()
            answered = await self._probe.answered(address)
            took = self._clock() - asked
            await asyncio.sleep(max(interval - took, 0))
            passed = self._clock() - asked
            if answered is False and took > interval + ON_TIME:
                answered = None
            known = self._signals.get(address)
            if known is not None:
                self._signals[address] = after(known, answered, min(passed, 2 * interval))


def after(known: Signal, answered: bool | None, passed: float) -> Signal:
    """What is known of a machine after one more probe; ``passed``: seconds that count since the one before."""
    if answered is None:
        return known
    if answered:
        return Signal(known.answers + 1)
    return replace(known, losses=known.losses + 1, silent=known.silent + passed)


def _can_be_asked(address: str) -> bool:
    """A loopback address would be answered by this machine, whoever is meant."""
    try:
        return bool(address) and not ip_address(address).is_loopback
    except ValueError:
        return True
