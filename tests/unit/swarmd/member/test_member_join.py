"""Managers join one after another, at once, and after having died in the middle of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest
from managers import Dying, Killed, Managers

from swarmd.errors import AlreadyExists, FailedPrecondition, NoLeader
from swarmd.member import admission
from swarmd.member import join as joining
from swarmd.member.admission import Standing
from swarmd.member.disk import has_log
from swarmd.member.join import JoinFailed, bootstrap, join
from swarmd.member.process import ChildProcess
from swarmd.member.recovery import recover
from swarmd.member.removal import remove


async def test_the_first_manager_serves_alone(managers: Managers):
    first = await managers.first()
    await first.put("key", "value")
    assert await first.names() == ["n1"]
    assert first.config.socket.parent.stat().st_mode & 0o777 == 0o700
    assert first.config.environment.stat().st_mode & 0o777 == 0o600


async def test_managers_join_one_by_one_and_hold_all_that_was_written(managers: Managers):
    first = await managers.first()
    await first.put("key", "value")
    second = await managers.join("n2", first)
    third = await managers.join("n3", second)  # through a follower, which forwards it
    assert await third.get("key") == "value"
    assert await first.names() == ["n1", "n2", "n3"]


async def test_two_that_join_at_once_take_turns(managers: Managers):
    first, second, third = await managers.cluster(3)
    await asyncio.gather(managers.join("n4", second), managers.join("n5", third))
    assert await first.names() == ["n1", "n2", "n3", "n4", "n5"]


async def test_a_dead_voter_of_three_does_not_keep_a_fourth_out(managers: Managers):
    first, _, third = await managers.cluster(3)
    await third.process.kill()
    await managers.join("n4", first)
    assert await first.names() == ["n1", "n2", "n3", "n4"]


async def test_without_a_quorum_nobody_is_added(managers: Managers, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(admission, "WITHIN", 0.5)
    first, second = await managers.cluster(2)
    await second.process.kill()
    with pytest.raises(NoLeader):
        await first.admission.add("https://127.0.0.1:1")


async def test_a_voters_address_is_not_given_to_another(managers: Managers):
    first, second = await managers.cluster(2)
    with pytest.raises(AlreadyExists):
        await first.admission.add(second.url)


async def test_an_address_is_added_again_in_the_second_in_which_it_was_removed(managers: Managers):
    first = await managers.first()
    url = "https://127.0.0.1:1"
    for _ in range(3):
        await first.admission.add(url)
        await first.admission.remove(url)
    assert await first.admission.standing(url) is Standing.ABSENT


async def test_a_dead_learner_is_not_promoted(managers: Managers):
    first = await managers.first()
    joiner = await managers.make("n2")
    with pytest.raises(Killed):
        await join(joiner.config, joiner.process, Dying(first.admission, "before promote", joiner))
    await joiner.process.kill()
    learner = next(member for member in (await first.client.member_list()).members if member.isLearner)
    index = (await first.status()).raftAppliedIndex
    with pytest.raises(FailedPrecondition, match="does not answer"):
        await first.admission.promote(learner.ID, index, joiner.url)
    await first.put("still", "writes")


async def test_a_learner_far_behind_is_not_promoted(managers: Managers, monkeypatch: pytest.MonkeyPatch):
    first = await managers.first()
    joiner = await managers.make("n2")
    with pytest.raises(Killed):
        await join(joiner.config, joiner.process, Dying(first.admission, "before promote", joiner))
    await joiner.process.kill()
    await joiner.process.start()
    while not await first.probe.answers(joiner.url):
        await asyncio.sleep(0.01)
    monkeypatch.setattr(admission, "CATCH_UP", 1)
    learner = next(member for member in (await first.client.member_list()).members if member.isLearner)
    with pytest.raises(FailedPrecondition, match="in sync"):
        await first.admission.promote(learner.ID, 0, joiner.url)


async def test_a_learner_whose_join_has_died_is_removed_by_the_next_join(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
):
    first = await managers.first()
    await first.admission.add("https://127.0.0.1:1")
    monkeypatch.setattr(admission, "SILENT", 0.3)
    await managers.join("n2", first)
    assert await first.names() == ["n1", "n2"]
    assert await first.admission.standing("https://127.0.0.1:1") is Standing.ABSENT


async def test_the_leader_removes_a_stale_learner(managers: Managers, monkeypatch: pytest.MonkeyPatch):
    first = await managers.first()
    await first.admission.add("https://127.0.0.1:1")
    assert await first.admission.remove_stale() == ()
    monkeypatch.setattr(admission, "STALE", -1.0)
    assert [member.peer_url for member in await first.admission.remove_stale()] == ["https://127.0.0.1:1"]


POINTS = ["before add", "after add", "before promote", "after promote"]


@pytest.mark.parametrize("point", POINTS)
async def test_a_joiner_that_died_comes_in_at_its_next_start(managers: Managers, point: str):
    first = await managers.first()
    await first.put("key", "value")
    joiner = await managers.make("n2")
    with pytest.raises(Killed):
        await join(joiner.config, joiner.process, Dying(first.admission, point, joiner))
    await joiner.process.kill()

    await recover(joiner.config, joiner.process, first.admission)
    assert await first.names() == ["n1", "n2"]
    assert await joiner.get("key") == "value"


@pytest.mark.parametrize("point", ["before remove", "after remove", "after add", "before promote"])
async def test_a_recovery_that_died_is_recovered_from(managers: Managers, point: str):
    """The first attempt died after it was added; the second dies while it clears that away."""
    first = await managers.first()
    joiner = await managers.make("n2")
    with pytest.raises(Killed):
        await join(joiner.config, joiner.process, Dying(first.admission, "after add", joiner))
    with pytest.raises(Killed):
        await recover(joiner.config, joiner.process, Dying(first.admission, point, joiner))
    await joiner.process.kill()

    await recover(joiner.config, joiner.process, first.admission)
    assert await first.names() == ["n1", "n2"]


async def test_a_joiner_that_died_can_join_by_hand_again_as_well(managers: Managers):
    first = await managers.first()
    joiner = await managers.make("n2")
    with pytest.raises(Killed):
        await join(joiner.config, joiner.process, Dying(first.admission, "before promote", joiner))
    await join(joiner.config, joiner.process, first.admission)
    assert await first.names() == ["n1", "n2"]


async def test_a_join_that_fails_leaves_nothing_behind(managers: Managers):
    first = await managers.first()
    joiner = await managers.make("n2")
    joiner.config.peers.key.write_bytes(b"no key")
    with pytest.raises(JoinFailed, match="etcd ended"):
        await join(joiner.config, joiner.process, first.admission)
    assert await first.admission.standing(joiner.url) is Standing.ABSENT
    assert not joiner.config.environment.exists()
    assert not has_log(joiner.config.data)


async def test_a_first_start_that_died_is_made_anew(managers: Managers):
    manager = await managers.first()
    await manager.put("key", "of the attempt that died")
    await manager.process.kill()
    await bootstrap(manager.config, manager.process)
    assert await manager.get("key") is None


async def test_a_joiner_that_votes_already_keeps_its_data_when_the_other_dies(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
):
    """Of two voters each is needed: to wipe this one for its failed join would lose the quorum for good."""
    first = await managers.first()
    await first.put("key", "value")
    joiner = await managers.make("n2")
    monkeypatch.setattr(joining, "SERVING", 0.5)
    with pytest.raises(JoinFailed) as failed:
        await join(joiner.config, joiner.process, Dying(first.admission, "after promote", first, raises=False))
    assert failed.value.is_member
    assert has_log(joiner.config.data)

    await first.process.kill()
    await first.process.start()
    await recover(joiner.config, joiner.process, first.admission)
    assert await joiner.names() == ["n1", "n2"]
    assert await joiner.get("key") == "value"


async def test_a_first_status_that_does_not_come_is_met_with_a_kick(managers: Managers):
    """A frozen etcd stands for one that has lost its publication: both are silent until they are started again."""
    first = await managers.first()
    joiner = await managers.make("n2")
    kicked = []

    class FreezingProcess(ChildProcess):
        async def start(self) -> None:
            await super().start()
            kicked.append(self.pid)
            if len(kicked) == 1:
                assert self.pid is not None
                os.kill(self.pid, signal.SIGSTOP)

        async def stop(self) -> None:
            if self.pid is not None:
                os.kill(self.pid, signal.SIGCONT)
            await super().stop()

    process = FreezingProcess(managers.etcd, joiner.config)
    try:
        await join(joiner.config, process, first.admission)
        assert len(kicked) == 2
        assert await first.names() == ["n1", "n2"]
    finally:
        await process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3])
async def test_a_joiner_that_is_killed_at_any_moment_comes_in_at_its_next_start(managers: Managers, size: int):
    made = await managers.cluster(size)
    joiner = await managers.make("late")
    chance = random.Random(size)
    for _ in range(25):
        attempt = asyncio.ensure_future(join(joiner.config, joiner.process, made[0].admission))
        await asyncio.sleep(chance.uniform(0, 0.25))
        joiner.kill()
        attempt.cancel()
        await asyncio.wait([attempt])
        await joiner.process.kill()
        await recover(joiner.config, joiner.process, made[-1].admission)
        assert len(await made[0].names()) == size + 1
        await remove(made[0].client, made[0].probe, await joiner.id())
        await joiner.process.kill()
