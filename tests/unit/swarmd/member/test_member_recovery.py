"""A manager's etcd at its next start: started again, or joined anew, by what is found."""

from __future__ import annotations

import asyncio
import shutil
import socket

import pytest
from managers import Manager, Managers

from swarmd.errors import NoLeader
from swarmd.member import admission
from swarmd.member import join as joining
from swarmd.member.admission import Standing
from swarmd.member.recovery import RecoveryFailed, Seen, Step, decide, recover

TOCOMMIT = "exit status 2: tocommit(9) is out of range [lastIndex(0)]"
DAMAGED = "exit status 1: discovery failed: proto: integer overflow"
IN_USE = "exit status 1: listen tcp 127.0.0.1:2380: bind: address already in use"


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        (Seen(has_log=False), Step.JOIN_ANEW),
        (Seen(has_log=True, serves=True), Step.TAKE_PART),
        (Seen(has_log=True, silent_for=0.5), Step.WAIT),
        # Silent beyond its time: what a voter says decides, and without a quorum everyone is silent.
        (Seen(has_log=True, silent_for=900.0), Step.WAIT),
        (Seen(has_log=True, silent_for=900.0, restarts=1), Step.WAIT),
        (Seen(has_log=True, silent_for=0.8, standing=Standing.VOTER), Step.RESTART),
        (Seen(has_log=True, silent_for=0.8, standing=Standing.LEARNER), Step.RESTART),
        (Seen(has_log=True, silent_for=0.8, standing=Standing.ABSENT), Step.JOIN_ANEW),
        (Seen(has_log=True, silent_for=0.8, standing=Standing.LEARNER, restarts=1), Step.JOIN_ANEW),
        # A voter publishes again by itself after 5.6 s.
        (Seen(has_log=True, silent_for=6.0, standing=Standing.VOTER, restarts=1), Step.WAIT),
        (Seen(has_log=True, silent_for=9.0, standing=Standing.VOTER, restarts=1), Step.JOIN_ANEW),
        (Seen(has_log=True, silent_for=1.4, patience=1.5, standing=Standing.VOTER), Step.WAIT),
        # Ended: removed, wiped, or for a reason that has nothing to do with its data.
        (Seen(has_log=True, ended="exit status 0", standing=Standing.ABSENT), Step.JOIN_ANEW),
        (Seen(has_log=True, ended=TOCOMMIT, standing=Standing.VOTER), Step.JOIN_ANEW),
        (Seen(has_log=True, ended=TOCOMMIT), Step.WAIT),
        (Seen(has_log=True, ended=TOCOMMIT, silent_for=9.0), Step.FAIL),
        (Seen(has_log=True, ended=IN_USE, standing=Standing.VOTER), Step.RESTART),
        (Seen(has_log=True, ended=IN_USE, standing=Standing.VOTER, restarts=1), Step.FAIL),
        (Seen(has_log=True, ended=DAMAGED, standing=Standing.VOTER), Step.RESTART),
        (Seen(has_log=True, ended=DAMAGED, standing=Standing.VOTER, restarts=1), Step.JOIN_ANEW),
        (Seen(has_log=True, ended=DAMAGED, restarts=1, silent_for=9.0), Step.FAIL),
    ],
)
def test_the_rule(seen: Seen, step: Step):
    assert decide(seen) is step


async def test_a_voter_that_was_killed_starts_with_its_data(managers: Managers):
    first, second = await managers.cluster(2)
    await first.put("key", "value")
    before = await second.id()
    await second.process.kill()
    said = await recover(second.config, second.process, first.admission)
    assert said.startswith("etcd was started with the data that it had")
    assert await second.id() == before
    assert await second.get("key") == "value"


async def test_an_etcd_that_runs_is_left_running(managers: Managers):
    first, second = await managers.cluster(2)
    before = second.process.pid
    await recover(second.config, second.process, first.admission)
    assert second.process.pid == before


async def test_a_removed_voter_joins_anew(managers: Managers):
    first, second = await managers.cluster(2)
    before = await second.id()
    await first.admission.remove(second.url)
    await recover(second.config, second.process, first.admission)
    assert await first.names() == ["n1", "n2"]
    assert await second.id() != before


async def test_a_voter_without_its_disk_joins_anew_and_never_under_its_old_id(managers: Managers):
    first, _, third = await managers.cluster(3)
    before = await third.id()
    await third.process.kill()
    shutil.rmtree(third.config.data)
    said = await recover(third.config, third.process, first.admission)
    assert "nothing of an earlier member" in said
    assert await third.id() != before


async def test_a_voter_with_an_older_copy_of_its_disk_joins_anew(managers: Managers):
    first, second, third = await managers.cluster(3)
    await third.process.stop()
    copy = third.config.folder / "copy"
    shutil.copytree(third.config.data, copy)
    await third.process.start()
    for number in range(20):
        await first.put(f"key{number}", "value")
    while (await third.status()).raftAppliedIndex < (await first.status()).raftAppliedIndex:
        await asyncio.sleep(0.01)
    await third.process.kill()
    shutil.rmtree(third.config.data)
    copy.rename(third.config.data)
    # The leader remembers how far this member was for as long as it leads, and tells it to commit what it lacks.
    await recover(third.config, third.process, first.admission)
    assert await second.names() == ["n1", "n2", "n3"]
    assert await third.get("key19") == "value"


async def test_a_damaged_log_is_given_up_for_the_clusters(managers: Managers):
    first, _, third = await managers.cluster(3)
    await first.put("key", "value")
    await third.process.kill()
    for log in (third.config.data / "member" / "wal").glob("0*.wal"):
        content = bytearray(log.read_bytes())
        content[64:512] = b"\xff" * 448
        log.write_bytes(content)
    await recover(third.config, third.process, first.admission)
    assert await third.get("key") == "value"


async def test_all_that_were_off_come_back_together(managers: Managers):
    """Each is silent until there is a quorum, and takes nothing of that for a reason to give its data up."""
    made = await managers.cluster(3)
    await made[0].put("key", "value")
    ids = [await manager.id() for manager in made]
    for manager in made:
        await manager.process.kill()

    async def later(manager: Manager, seconds: float, voter: Manager) -> None:
        await asyncio.sleep(seconds)
        await recover(manager.config, manager.process, voter.admission)

    await asyncio.gather(later(made[0], 0.0, made[1]), later(made[1], 1.5, made[0]), later(made[2], 1.6, made[0]))
    assert [await manager.id() for manager in made] == ids
    assert await made[2].get("key") == "value"


async def test_a_port_that_is_taken_is_said_and_costs_no_data(managers: Managers):
    first, second = await managers.cluster(2)
    await managers.join("n3", first)
    await second.process.kill()
    host, port = second.url.removeprefix("https://").split(":")
    with (
        socket.create_server((host, int(port))),
        pytest.raises(RecoveryFailed, match="address already in use"),
    ):
        await recover(second.config, second.process, first.admission)
    before = sorted(path.name for path in second.config.data.rglob("*.wal"))
    assert before
    await recover(second.config, second.process, first.admission)
    assert await second.names() == ["n1", "n2", "n3"]


async def test_a_manager_without_data_and_without_another_manager_says_so(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(joining, "ASKING", 0.5)
    monkeypatch.setattr(admission, "WITHIN", 0.5)
    lonely = await managers.make("n1")
    with pytest.raises(NoLeader):
        await recover(lonely.config, lonely.process, lonely.admission)
