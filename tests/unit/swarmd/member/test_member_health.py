"""Who takes part now, and whether there is a leader to wait for. Real etcd; the clock is the test's."""

from __future__ import annotations

import asyncio

import pytest
from managers import Manager, Managers

from swarmd.member.health import FRESH, Health

USUAL, EMULATED = 300, 1000
"""Milliseconds; the election time-outs of docs/operations.md."""
MOMENT = 0.001


class Watched:
    """A manager's health that is asked for each second, as by the event log."""

    def __init__(self, manager: Manager, election_ms: int = USUAL) -> None:
        self.now = 0.0
        self.health = Health(manager.client, manager.probe, election_ms=election_ms, clock=lambda: self.now)

    async def pass_(self, seconds: float) -> None:
        while seconds > 0:
            step = min(seconds, 1.0)
            seconds -= step
            self.now += step
            await self.health.reachability()

    async def sleep(self, seconds: float) -> None:
        """Nobody asks meanwhile."""
        self.now += seconds


async def without_quorum(managers: Managers) -> tuple[Manager, list[Manager]]:
    """A manager whose etcd knows that there is no leader, and those that are gone."""
    first, second, third = await managers.cluster(3)
    for lost in (second, third):
        await lost.process.kill()
    await until_leader(first, there=False)
    return first, [second, third]


async def until_leader(manager: Manager, *, there: bool) -> None:
    async with asyncio.timeout(20):
        while bool((await manager.status()).leader) is not there:
            await asyncio.sleep(0.02)


async def test_managers_that_answer_are_reachable(managers: Managers):
    first, second, third = await managers.cluster(3)
    seen = await Watched(first).health.reachability()
    assert seen.leader == "n1"
    assert seen.reachable == {"n1", "n2", "n3"}

    await second.process.kill()
    third.freeze()
    seen = await Watched(first).health.reachability()
    assert seen.reachable == {"n1"}


async def test_while_this_nodes_etcd_is_silent_nobody_is_reachable(managers: Managers):
    first = await managers.first()
    first.freeze()
    async with asyncio.timeout(2.0):
        seen = await Watched(first).health.reachability()
    assert (seen.leader, seen.reachable) == ("", frozenset())


@pytest.mark.parametrize(("election_ms", "patience"), [(USUAL, 1.0), (400, 1.2), (EMULATED, 3.0)])
async def test_a_leader_that_is_missing_for_longer_than_an_election_is_not_waited_for(
    managers: Managers, election_ms: int, patience: float
):
    first, _ = await without_quorum(managers)
    watched = Watched(first, election_ms)
    await watched.health.reachability()
    assert not await watched.health.lacks_leader()
    await watched.pass_(patience - 0.1)
    assert not await watched.health.lacks_leader()
    await watched.pass_(0.1 + MOMENT)
    assert await watched.health.lacks_leader()
    await watched.pass_(60)
    assert await watched.health.lacks_leader()


async def test_with_a_leader_there_is_one_to_wait_for(managers: Managers):
    watched = Watched(await managers.first())
    await watched.pass_(60)
    assert not await watched.health.lacks_leader()


async def test_as_soon_as_there_is_a_leader_again_nobody_is_turned_away(managers: Managers):
    first, lost = await without_quorum(managers)
    watched = Watched(first)
    await watched.health.reachability()
    await watched.pass_(2)
    assert await watched.health.lacks_leader()
    for manager in lost:
        await manager.process.start()
    await until_leader(first, there=True)
    assert not await watched.health.lacks_leader(), "it must not wait for the next look"


async def test_patience_begins_anew_with_each_election(managers: Managers):
    first, lost = await without_quorum(managers)
    watched = Watched(first)
    await watched.health.reachability()
    await lost[0].process.start()
    await until_leader(first, there=True)
    await watched.pass_(0.8)
    await lost[0].process.kill()
    await until_leader(first, there=False)
    await watched.pass_(0.8)
    assert not await watched.health.lacks_leader()
    await watched.pass_(1 + MOMENT)
    assert await watched.health.lacks_leader()


async def test_after_a_machine_has_slept_its_etcd_may_elect_first(managers: Managers):
    first, _ = await without_quorum(managers)
    watched = Watched(first)
    await watched.health.reachability()
    await watched.sleep(3600)
    assert not await watched.health.lacks_leader()
    await watched.pass_(1 + FRESH)
    assert await watched.health.lacks_leader()


async def test_an_etcd_that_is_silent_has_not_said_that_there_is_no_leader(managers: Managers):
    first, _ = await without_quorum(managers)
    watched = Watched(first)
    await watched.health.reachability()
    first.freeze()
    await watched.pass_(2)
    assert not await watched.health.lacks_leader()
    first.thaw()
    await first.status()
    assert not await watched.health.lacks_leader()
    await watched.pass_(2 + MOMENT)
    assert await watched.health.lacks_leader()
