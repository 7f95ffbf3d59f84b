"""Managers leave, alive or dead, and are refused where the cluster could not go on."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest
from managers import Manager, Managers

from swarmd.errors import FailedPrecondition
from swarmd.member.removal import LAST_MANAGER, LOSS_OF_QUORUM, check_removal, hand_over, may_remove, remove
from swarmd.member.roster import Member, roster

MANY = [Member(number, f"n{number}", f"https://10.0.0.{number}:2380") for number in range(1, 6)]
LEARNER = Member(9, "n9", "https://10.0.0.9:2380", is_learner=True)


@pytest.mark.parametrize(
    ("count", "healthy", "who"),
    [
        (2, {1, 2}, 1),
        (3, {1, 2, 3}, 1),
        (3, {1, 2}, 3),
        (4, {1, 2, 3}, 4),
        (5, {1, 2, 3}, 4),
        (5, {1, 2, 3, 4}, 4),
    ],
)
def test_a_removal_that_leaves_a_majority_is_allowed(count: int, healthy: Collection[int], who: int):
    may_remove(MANY[:count], healthy, who)


@pytest.mark.parametrize(
    ("count", "healthy", "who"),
    [
        (2, {1}, 2),  # The one that is left cannot decide this alone.
        (2, {1}, 1),
        (3, {1, 2}, 1),
        (3, {1}, 3),
        (4, {1, 2}, 3),
        (5, {1, 2, 3}, 1),
    ],
)
def test_a_removal_that_loses_the_quorum_is_refused(count: int, healthy: Collection[int], who: int):
    with pytest.raises(FailedPrecondition, match=LOSS_OF_QUORUM):
        may_remove(MANY[:count], healthy, who)


def test_the_last_manager_stays():
    with pytest.raises(FailedPrecondition, match=LAST_MANAGER):
        may_remove(MANY[:1], {1}, 1)
    with pytest.raises(FailedPrecondition, match=LAST_MANAGER):
        may_remove([*MANY[:1], LEARNER], {1, 9}, 1)


def test_a_learner_may_always_go_where_there_is_a_quorum():
    may_remove([*MANY[:1], LEARNER], {1}, 9)
    may_remove([*MANY[:3], LEARNER], {1, 2}, 9)
    with pytest.raises(FailedPrecondition, match=LOSS_OF_QUORUM):
        may_remove([*MANY[:3], LEARNER], {1, 9}, 9)


async def ends(manager: Manager) -> str:
    while (why := await manager.process.ended()) is None:
        await asyncio.sleep(0.01)
    return why


async def test_a_live_follower_is_removed_and_its_etcd_ends(managers: Managers):
    first, _, third = await managers.cluster(3)
    await remove(first.client, first.probe, await third.id())
    assert await first.names() == ["n1", "n2"]
    assert await ends(third) == "exit status 0"


async def test_a_dead_one_is_removed(managers: Managers):
    first, _, third = await managers.cluster(3)
    who = await third.id()
    await third.process.kill()
    await remove(first.client, first.probe, who)
    assert await first.names() == ["n1", "n2"]


async def test_a_frozen_one_is_removed(managers: Managers):
    first, _, third = await managers.cluster(3)
    who = await third.id()
    third.freeze()
    await remove(first.client, first.probe, who)
    assert await first.names() == ["n1", "n2"]


async def test_a_leader_hands_over_before_it_removes_itself(managers: Managers):
    first, second, _ = await managers.cluster(3)
    assert await first.leads()
    term = (await second.status()).raftTerm
    await remove(first.client, first.probe, await first.id())
    await second.put("key", "value")
    assert await second.names() == ["n2", "n3"]
    # One election by a transfer, and none by a time-out after it.
    assert (await second.status()).raftTerm == term + 1


async def test_another_ones_leader_is_asked_to_hand_over_first(managers: Managers):
    first, second, _ = await managers.cluster(3)
    asked = []

    async def ask(member: Member) -> None:
        asked.append(member.name)
        await hand_over(first.client, first.probe)

    await remove(second.client, second.probe, await first.id(), ask_to_hand_over=ask)
    assert asked == ["n1"]
    assert await second.names() == ["n2", "n3"]


async def test_a_leader_that_nobody_can_ask_is_removed_all_the_same(managers: Managers):
    first, second, _ = await managers.cluster(3)
    await remove(second.client, second.probe, await first.id())
    assert await second.names() == ["n2", "n3"]


async def test_two_become_one_in_order(managers: Managers):
    first, second = await managers.cluster(2)
    await remove(first.client, first.probe, await second.id())
    await first.put("key", "value")
    assert await first.names() == ["n1"]


async def test_two_do_not_become_one_while_the_other_is_down(managers: Managers):
    first, second = await managers.cluster(2)
    who = await second.id()
    await second.process.kill()
    async with asyncio.timeout(2.0):
        with pytest.raises(FailedPrecondition, match=LOSS_OF_QUORUM):
            await remove(first.client, first.probe, who)


async def test_the_last_one_is_not_removed(managers: Managers):
    first = await managers.first()
    with pytest.raises(FailedPrecondition, match=LAST_MANAGER):
        await remove(first.client, first.probe, await first.id())
    assert await first.names() == ["n1"]


async def test_what_is_not_there_counts_as_removed(managers: Managers):
    first = await managers.first()
    await check_removal(first.client, first.probe, 12345)
    await remove(first.client, first.probe, 12345)


async def test_leadership_goes_to_one_that_answers(managers: Managers):
    first, second, third = await managers.cluster(3)
    for other, gone in ((second, third), (third, second)):
        gone.freeze()
        assert await hand_over(first.client, first.probe)
        assert (await first.status()).leader == await other.id()
        gone.thaw()
        while not await first.probe.answers(gone.url):
            await asyncio.sleep(0.01)
        await other.client.move_leader(await first.id(), timeout=2)


async def test_a_member_alone_has_nobody_to_hand_over_to(managers: Managers):
    first = await managers.first()
    assert not await hand_over(first.client, first.probe)


async def test_the_roster_can_be_read_without_a_quorum(managers: Managers):
    first, second = await managers.cluster(2)
    await second.process.kill()
    assert {member.name for member in await roster(first.client, linearizable=False)} == {"n1", "n2"}
