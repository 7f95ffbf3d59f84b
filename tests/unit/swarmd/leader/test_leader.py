"""Who leads, on real etcd members."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from etcd_members import Member, Members

from swarmd import leader as leader_module
from swarmd.errors import Deposed
from swarmd.etcd import EtcdClient, EtcdUnavailable, persist
from swarmd.leader import YOUNG, Leadership, uptime
from swarmd.model import NodeLiveness, NodeState
from swarmd.store import Kind, Put
from swarmd.store.codec import LEADER
from swarmd.store.etcd import EtcdStore

SECONDS = 20
IsThere = Callable[[str], Awaitable[bool]]
A_LIVENESS = Put(Kind.LIVENESS, "n1", NodeLiveness(NodeState.READY, since=datetime(2026, 1, 1, tzinfo=UTC)))


async def answers(node_id: str) -> bool:
    return True


class Manager:
    """One manager's leadership beside its etcd. ``hang`` is a SIGSTOP of the daemon: its tasks go no further."""

    def __init__(
        self, member: Member, client: EtcdClient, ttl: int, clock: Callable[[], float], is_there: IsThere | None
    ) -> None:
        self.member = member
        self.client = client
        self.leadership = Leadership(client, f"node-{member.name}", is_there=is_there, ttl=ttl, clock=clock)
        self.task = asyncio.create_task(self.leadership.run())

    @property
    def node_id(self) -> str:
        return f"node-{self.member.name}"

    async def hang(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def managers(
    *members: Member, ttl: int = 1, clock: Callable[[], float] = uptime, is_there: IsThere | None = None
) -> AsyncIterator[list[Manager]]:
    made: list[Manager] = []
    async with asyncio.timeout(SECONDS * 3):
        for member in members:
            made.append(Manager(member, await EtcdClient(member.socket).__aenter__(), ttl, clock, is_there))
        try:
            yield made
        finally:
            for manager in made:
                await manager.hang()
                await manager.client.__aexit__(None, None, None)


async def leader_of(candidates: list[Manager]) -> tuple[Manager, int]:
    """The first of them that leads, and its epoch."""
    waits = {asyncio.create_task(manager.leadership.until_leading()): manager for manager in candidates}
    done, pending = await asyncio.wait(waits, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
    assert done, "nobody leads"
    assert len(done) == 1
    first = done.pop()
    return waits[first], first.result()


async def etcd_leader(candidates: list[Manager]) -> Manager:
    while True:
        for manager in candidates:
            try:
                status = await manager.client.status()
            except EtcdUnavailable:
                continue
            if status.leader == status.header.member_id:
                return manager
        await asyncio.sleep(0.02)


async def test_one_manager_leads_and_the_epoch_is_the_records_revision(etcd_members: Members) -> None:
    async with managers(etcd_members.start()) as (manager,):
        epoch = await manager.leadership.until_leading()
        assert (await manager.client.range(LEADER)).kvs[0].mod_revision == epoch
        assert manager.leadership.epoch == epoch
        assert manager.leadership.leader_id == manager.node_id


async def test_of_three_one_leads_and_all_know_it(etcd_members: Members) -> None:
    async with managers(*etcd_members.cluster(3)) as all_:
        leader, _ = await leader_of(all_)
        for manager in all_:
            await manager.leadership.until_leader_changes(None)
            assert manager.leadership.leader_id == leader.node_id
        assert [manager for manager in all_ if manager.leadership.epoch is not None] == [leader]


async def test_when_etcds_leader_is_killed_the_manager_beside_the_new_one_takes_over(etcd_members: Members) -> None:
    async with managers(*etcd_members.cluster(3), ttl=600) as all_:  # so not because the lease runs out
        leader, first = await leader_of(all_)
        beside = await etcd_leader(all_)
        if beside is not leader:  # it held on to the record over an election, as it may
            status = await leader.client.status()
            await persist(lambda: beside.client.move_leader(status.header.member_id), within=SECONDS)
        leader.member.kill()
        rest = [manager for manager in all_ if manager is not leader]
        second, epoch = await leader_of(rest)
        assert epoch > first
        assert second is await etcd_leader(rest)


@asynccontextmanager
async def one_that_follows_calmly(etcd_members: Members, is_there: IsThere) -> AsyncIterator[tuple[Manager, Manager]]:
    """A leader, and a follower that etcd's leadership has gone to since it has looked."""
    first, *rest = etcd_members.cluster(3)
    async with managers(first, ttl=600) as (leader,):
        await leader.leadership.until_leading()  # before the others begin, so that none of them is about to bid
        async with managers(*rest, ttl=600, is_there=is_there) as others:
            beside = await etcd_leader([leader, *others])
            heir = next(manager for manager in others if manager is not beside)
            await heir.leadership.until_leader_changes(None)
            for _ in range(3):  # its own first look, at the news of the leader, comes before the last of these
                status = await heir.client.status()
            await persist(lambda: beside.client.move_leader(status.header.member_id), within=SECONDS)
            assert await etcd_leader([leader, *others]) is heir
            yield leader, heir


async def test_a_manager_that_etcds_leadership_is_moved_to_takes_over(etcd_members: Members) -> None:
    async with one_that_follows_calmly(etcd_members, answers) as (leader, heir):
        await heir.leadership.until_leading()
        await leader.leadership.until_leader_changes(leader.node_id)
        assert leader.leadership.epoch is None


async def test_a_leader_that_may_be_gone_is_succeeded_before_the_next_calm_look(
    etcd_members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_module, "CALM", 3600.0)
    async with one_that_follows_calmly(etcd_members, answers) as (_, heir):
        heir.leadership.doubt()
        await heir.leadership.until_leading()


async def test_a_leader_whose_machine_does_not_answer_may_be_gone(
    etcd_members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_module, "CALM", 3600.0)
    off: set[str] = set()

    async def is_on(node_id: str) -> bool:
        return node_id not in off

    async with one_that_follows_calmly(etcd_members, is_on) as (leader, heir):
        off.add(leader.node_id)
        await heir.leadership.until_leading()


async def test_a_follower_seldom_asks_etcd_while_nothing_speaks_against_the_leader(etcd_members: Members) -> None:
    async with managers(*etcd_members.cluster(3), is_there=answers) as all_:
        leader, _ = await leader_of(all_)
        follower = next(manager for manager in all_ if manager is not leader)
        renewals, asked = asyncio.Queue[None](), 0
        keep_alive, status = leader.client.lease_keep_alive, follower.client.status

        async def seen(lease: int) -> int:
            renewals.put_nowait(None)
            return await keep_alive(lease)

        async def counted() -> object:
            nonlocal asked
            asked += 1
            return await status()

        leader.client.lease_keep_alive = seen  # type: ignore[assignment,method-assign]
        for _ in range(2):
            await renewals.get()
        follower.client.status = counted  # type: ignore[assignment,method-assign]
        for _ in range(6):
            await renewals.get()
        assert asked <= 6, "two seconds: it would be 18 at ten a second"


async def test_a_holder_keeps_the_record_while_etcds_leader_stays(etcd_members: Members) -> None:
    async with managers(*etcd_members.cluster(3)) as all_:
        leader, epoch = await leader_of(all_)
        renewed = asyncio.Event()
        keep_alive = leader.client.lease_keep_alive

        async def seen(lease: int) -> int:
            ttl = await keep_alive(lease)
            renewed.set()
            return ttl

        leader.client.lease_keep_alive = seen  # type: ignore[assignment,method-assign]
        for _ in range(2):
            renewed.clear()
            await renewed.wait()
        assert leader.leadership.epoch == epoch


async def test_the_record_of_a_hung_manager_goes_to_another_when_its_lease_runs_out(etcd_members: Members) -> None:
    async with managers(*etcd_members.cluster(3)) as all_:
        leader, first = await leader_of(all_)
        await leader.hang()
        second, epoch = await leader_of([manager for manager in all_ if manager is not leader])
        assert epoch > first
        assert second is not leader
        assert leader.leadership.epoch is None, "a hung manager that wakes up must not think that it leads"


async def test_a_leader_that_was_deposed_unaware_can_write_nothing(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with managers(member) as (manager,), EtcdClient(member.socket) as client:
        epoch = await manager.leadership.until_leading()
        await manager.hang()
        store = EtcdStore(client)
        running = asyncio.create_task(store.run())
        try:
            await store.commit([A_LIVENESS], epoch=epoch)
            await client.put(LEADER, b'{"node_id": "other", "term": 99}')
            with pytest.raises(Deposed):
                await store.commit([A_LIVENESS], epoch=epoch)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_who_resigns_hands_over_at_once_and_does_not_come_back(etcd_members: Members) -> None:
    ahead = 0.0
    async with managers(*etcd_members.cluster(3), ttl=600, clock=lambda: uptime() + ahead) as all_:
        ahead = YOUNG  # so that the one beside etcd's leader, which resigns, would be the first to bid again
        leader, first = await leader_of(all_)
        await leader.leadership.resign()
        assert leader.leadership.epoch is None
        second, epoch = await leader_of([manager for manager in all_ if manager is not leader])
        assert epoch > first
        await second.leadership.resign()
        await leader_of([manager for manager in all_ if manager not in (leader, second)])


async def test_a_leader_steps_down_when_the_record_changes(etcd_members: Members) -> None:
    async with managers(etcd_members.start()) as (manager,):
        epoch = await manager.leadership.until_leading()
        await manager.client.put(LEADER, b'{"node_id": "other", "term": 99}')
        await manager.leadership.until_deposed(epoch)
        assert manager.leadership.leader_id == "other"


async def test_a_leader_steps_down_by_its_own_clock_when_it_cannot_renew(etcd_members: Members) -> None:
    ahead = 0.0
    async with managers(etcd_members.start(), clock=lambda: uptime() + ahead) as (manager,):
        epoch = await manager.leadership.until_leading()
        manager.member.pause()
        assert manager.leadership.epoch == epoch
        ahead = 1.0
        assert manager.leadership.epoch is None
        await manager.leadership.until_deposed(epoch)
        manager.member.resume()
        assert await manager.leadership.until_leading() > epoch


async def test_a_daemon_that_was_restarted_takes_its_own_record_with_a_new_epoch(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with managers(member, ttl=600) as (first,):
        before = await first.leadership.until_leading()
        await first.hang()
        async with managers(member, ttl=600) as (second,):
            assert await second.leadership.until_leading() > before


async def test_a_manager_leads_again_after_its_etcd_was_restarted(etcd_members: Members) -> None:
    async with managers(etcd_members.start()) as (manager,):
        epoch = await manager.leadership.until_leading()
        manager.member.kill()
        await manager.leadership.until_deposed(epoch)
        manager.member.start()
        assert await manager.leadership.until_leading() > epoch
