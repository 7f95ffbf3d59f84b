"""``--force-new-cluster``: the data go on alone, under new ids and far higher revisions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from managers import Manager, Managers

from swarmd.etcd.stubs import rpc_pb2 as rpc
from swarmd.member.disk import Exchange
from swarmd.member.quorum_loss import BUMP, ForceFailed, force_new_cluster
from swarmd.member.recovery import recover


async def revision(manager: Manager) -> int:
    return (await manager.status()).header.revision


async def force(managers: Managers, manager: Manager) -> int:
    return await force_new_cluster(manager.config, manager.process, etcd=managers.etcd, etcdutl=managers.etcdutl)


async def written(managers: Managers) -> list[Manager]:
    made = await managers.cluster(3)
    for number in range(50):
        await made[0].put(f"key{number}", f"value{number}")
    # A survivor that was killed may lack the very last write: that it is committed goes to disk with the next one.
    await made[0].put("last", "value")
    return made


async def watch_from(manager: Manager, start: int) -> rpc.WatchResponse:
    """The first answer that ends the watch or brings an event."""
    async with asyncio.timeout(5), manager.client.watch(b"key", b"kez", start_revision=start) as stream:
        async for answer in stream:
            if answer.canceled or answer.events:
                return answer
    raise AssertionError


def is_tidy(manager: Manager) -> bool:
    folders = Exchange(manager.config)
    leftovers = (folders.old, folders.restored, folders.restoring, folders.snapshot)
    return not any(path.exists() for path in leftovers)


async def check(survivor: Manager, before: int) -> None:
    assert await survivor.names() == [survivor.config.name]
    assert [await survivor.get(f"key{number}") for number in range(50)] == [f"value{number}" for number in range(50)]
    await survivor.put("key", "new")
    assert await revision(survivor) > BUMP
    # An old watch, also one that is ahead of what the survivor had, is told that it has missed something.
    for start in (before - 10, before + 10):
        answer = await watch_from(survivor, start)
        assert answer.canceled
        assert answer.compact_revision > before
    assert "FORCE" not in survivor.config.environment.read_text()
    assert is_tidy(survivor)


async def test_a_survivor_that_runs_loses_nothing(managers: Managers):
    first, second, third = await written(managers)
    before, member = await revision(second), await second.id()
    for lost in (first, third):
        await lost.process.kill()
    assert await force(managers, second) != member
    await check(second, before)


async def test_a_survivor_that_was_off_is_started_alone_first(managers: Managers):
    first, second, third = await written(managers)
    before = await revision(second)
    assert await second.get("last") == "value"
    for one in (first, second, third):
        await one.process.kill()
    await force(managers, second)
    await check(second, before)


async def test_a_survivor_that_runs_silently_for_want_of_a_quorum_is_taken_as_off(managers: Managers):
    first, second, third = await written(managers)
    before = await revision(second)
    assert await second.get("last") == "value"
    for one in (first, second, third):
        await one.process.kill()
    await second.process.start()
    await force(managers, second)
    await check(second, before)


async def test_others_join_the_forced_cluster_and_the_lost_join_it_anew(managers: Managers):
    """The first join after a restore is sent a snapshot, which is where etcd's start may hang for 5.6 s."""
    first, second, third = await written(managers)
    await first.process.kill()
    await third.process.kill()
    await force(managers, second)
    await managers.join("n4", second)
    assert await second.names() == ["n2", "n4"]
    await recover(third.config, third.process, second.admission)
    assert await second.names() == ["n2", "n3", "n4"]
    assert await third.get("key49") == "value49"


async def test_a_lost_member_that_comes_back_does_not_disturb(managers: Managers):
    first, second, third = await written(managers)
    await first.process.kill()
    await third.process.kill()
    await force(managers, second)
    await first.process.start()
    await third.process.start()  # two of the old three: they are a cluster of their own, and not ours
    await first.put("key", "of the old")
    assert await second.get("key") is None
    assert await second.names() == ["n2"]


async def test_a_failure_leaves_the_old_data_in_place_and_running(managers: Managers):
    first, second = await managers.cluster(2)
    await first.put("key", "value")
    before = await second.id()
    with pytest.raises(ForceFailed):
        await force_new_cluster(second.config, second.process, etcd=managers.etcd, etcdutl=Path("/nonexistent/etcdutl"))
    assert await second.get("key") == "value"
    assert await second.id() == before


@pytest.mark.parametrize("renamed", ["the old away", "both"])
async def test_an_exchange_that_was_broken_off_is_completed_at_the_next_start(managers: Managers, renamed: str):
    alone = await managers.first()
    await alone.put("key", "value")
    await alone.process.kill()
    folders = Exchange(alone.config)
    folders.data.rename(folders.restored)
    folders.old.mkdir()
    if renamed == "both":
        folders.restored.rename(folders.data)
    await recover(alone.config, alone.process, alone.admission)
    assert await alone.get("key") == "value"
    assert is_tidy(alone)
