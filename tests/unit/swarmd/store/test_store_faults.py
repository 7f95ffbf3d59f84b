"""The store on etcd while members die, hang, and lose what they said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from etcd_members import Members
from etcd_relay import Relay, relayed
from open_stores import open_store
from store_samples import put_service, put_task

from swarmd.errors import AlreadyExists, Lost, NoLeader
from swarmd.etcd import EtcdClient, EtcdUnavailable, persist
from swarmd.leader import Leadership
from swarmd.model import TaskState
from swarmd.store import Delete, Kind, Snapshot, Unchanged, codec
from swarmd.store.etcd import EtcdStore

SECONDS = 30


async def committed(store: EtcdStore, *numbers: int) -> list[int]:
    """One task's commit after another; a leader that is being elected is waited for."""
    revisions = []
    for number in numbers:
        while True:
            try:
                revisions.append(await store.commit([put_task(f"t{number}")]))
            except NoLeader:
                continue
            break
    return revisions


async def until(store: EtcdStore, holds: Callable[[Snapshot], bool]) -> Snapshot:
    async with asyncio.timeout(SECONDS):
        snapshot = store.snapshot()
        while not holds(snapshot):
            snapshot = await store.changed(snapshot.revision)
        return snapshot


# Several managers


async def test_a_fresh_snapshot_holds_what_was_acknowledged_on_another_manager(etcd_members: Members) -> None:
    first, second, third = etcd_members.cluster(3)
    async with open_store(first) as one, open_store(second) as two, open_store(third) as three:
        for number in range(30):
            await one.commit([put_task(f"t{number}")])
            assert f"t{number}" in (await two.fresh()).tasks
            assert f"t{number}" in (await three.fresh()).tasks


async def test_many_fresh_snapshots_at_once_each_hold_what_was_written_before_them(etcd_members: Members) -> None:
    first, second, _ = etcd_members.cluster(3)
    async with open_store(first) as one, open_store(second) as two:

        async def write_then_read(number: int) -> None:
            await one.commit([put_task(f"t{number}")])
            assert f"t{number}" in (await two.fresh()).tasks

        await asyncio.gather(*(write_then_read(number) for number in range(100)))


async def test_a_fresh_snapshot_is_not_from_a_read_that_began_before_it_was_asked_for(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with (
        relayed(member.socket) as (path, relay),
        open_store(path, attempt=5) as store,
        open_store(member) as other,
        asyncio.TaskGroup() as group,
    ):
        await store.commit([put_task("t1")])
        relay.hold_answers = True
        earlier = group.create_task(store.fresh())
        await relay.answered.get()
        revision = await other.commit([put_task("t2")])
        asked = group.create_task(store.fresh())
        relay.release_answers()
        await earlier
        relay.hold_answers = False
        relay.release_answers()
        assert (await asked).revision >= revision


async def test_of_two_managers_writes_from_one_version_one_wins(etcd_members: Members) -> None:
    first, second, _ = etcd_members.cluster(3)
    async with open_store(first) as one, open_store(second) as two:
        version = await one.commit([put_task("t1")])
        guard = Unchanged(Kind.TASK, "t1", version)
        results = await asyncio.gather(
            one.commit([put_task("t1", TaskState.READY)], guards=[guard]),
            two.commit([put_task("t1", TaskState.FAILED)], guards=[guard]),
            return_exceptions=True,
        )
        assert {type(result) for result in results} == {int, Lost}


async def test_who_has_lost_sees_what_it_lost_against(etcd_members: Members) -> None:
    first, second, _ = etcd_members.cluster(3)
    async with open_store(first) as one, open_store(second) as two:
        version = await one.commit([put_task("t1")])
        newer = await one.commit([put_task("t1", TaskState.READY)])
        with pytest.raises(Lost):
            await two.commit([put_task("t1")], guards=[Unchanged(Kind.TASK, "t1", version)])
        assert two.snapshot().tasks["t1"].version == newer


async def test_a_name_is_one_services_on_all_managers(etcd_members: Members) -> None:
    first, second, _ = etcd_members.cluster(3)
    async with open_store(first) as one, open_store(second) as two:
        results = await asyncio.gather(
            one.commit([put_service("s1", "web")]), two.commit([put_service("s2", "web")]), return_exceptions=True
        )
        assert {type(result) for result in results} == {int, AlreadyExists}
        # Deleted on the one and made anew on the other, whose mirror need not have heard of it.
        held = next(iter((await one.fresh()).services))
        await one.commit([Delete(Kind.SERVICE, held)])
        await two.commit([put_service("s3", "web")])


# No quorum


async def test_without_quorum_reads_and_writes_say_that_there_is_no_leader(etcd_members: Members) -> None:
    first, second, third = etcd_members.cluster(3)
    async with open_store(first) as store:
        await committed(store, 1)
        second.pause()
        third.pause()
        results = await asyncio.gather(store.commit([put_task("t2")]), store.fresh(), return_exceptions=True)
        assert [type(result) for result in results] == [NoLeader, NoLeader]
        assert "t1" in store.snapshot().tasks, "what is known can still be shown"
        second.resume()
        third.resume()
        await committed(store, 3)
        assert "t3" in (await store.fresh()).tasks


async def test_a_member_that_hangs_says_so_too(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with open_store(member) as store:
        member.pause()
        with pytest.raises(NoLeader):
            await store.commit([put_task("t1")])
        member.resume()
        await committed(store, 2)


async def test_writes_go_on_when_etcds_leader_is_killed(etcd_members: Members) -> None:
    members = etcd_members.cluster(3)
    async with EtcdClient(members[0].socket, attempt=5) as client:
        status = await persist(client.status, within=SECONDS)
        listed = (await client.member_list()).members
    leader = next(member.name for member in listed if status.leader == member.ID)
    rest = [member for member in members if member.name != leader]
    async with open_store(rest[0]) as store, open_store(rest[1]) as other:
        await committed(store, *range(10))
        next(member for member in members if member.name == leader).kill()
        await committed(store, *range(10, 20))
        assert set((await other.fresh()).tasks) == {f"t{number}" for number in range(20)}


# Attempts whose answer is lost


async def attempts_of(relay: Relay) -> None:
    await relay.until_sent(codec.OPERATIONS)


async def test_a_commit_whose_answer_was_lost_is_not_made_twice(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with (
        relayed(member.socket) as (path, relay),
        open_store(path) as store,
        EtcdClient(member.socket, attempt=5) as direct,
        asyncio.TaskGroup() as group,
    ):
        await store.commit([put_task("t1")])
        relay.hold_answers = True
        writing = group.create_task(store.commit([put_task("t2")], guards=[Unchanged(Kind.TASK, "t2", 0)]))
        key = codec.key(Kind.TASK, "t2")
        async with asyncio.timeout(SECONDS):
            while not (found := (await direct.range(key)).kvs):
                await asyncio.sleep(0.005)
        relay.cut()
        relay.hold_answers = False
        assert await writing == found[0].mod_revision
        assert (await direct.range(key)).kvs[0].version == 1, "it was written once"


async def test_a_commit_that_lost_is_not_made_by_an_attempt_that_arrives_late(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with (
        relayed(member.socket) as (path, relay),
        open_store(path) as store,
        EtcdClient(member.socket, attempt=5) as direct,
    ):
        await store.commit([put_task("t1")])
        await drained(relay)
        relay.hold_requests = True
        writing = asyncio.create_task(store.commit([put_task("t2")], guards=[Unchanged(Kind.TASK, "t2", 0)]))
        await attempts_of(relay)  # the first is on its way
        key = codec.key(Kind.TASK, "t2")
        await direct.put(key, put_task("t2", TaskState.RUNNING).encoded)
        relay.hold_requests = False
        relay.cut()
        with pytest.raises(Lost):
            await writing
        await direct.delete(key)  # now the guard of the first would hold
        relay.release()
        await settled(direct)
        assert (await direct.range(key)).count == 0


async def drained(relay: Relay) -> None:
    while not relay.seen.empty():
        relay.seen.get_nowait()


async def settled(client: EtcdClient) -> None:
    """Wait until etcd has carried out what it had received: its revision stays for a tenth of a second."""
    before = -1
    while (now := (await client.range(b"x")).header.revision) != before:
        before = now
        await asyncio.sleep(0.1)


async def test_the_proofs_of_operations_do_not_stay(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with open_store(member) as store, EtcdClient(member.socket, attempt=5) as client:
        await store.commit([put_task("t1")])
        proofs = (await client.range(codec.OPERATIONS, codec.OPERATIONS + b"\xff")).kvs
        assert len(proofs) == 1
        assert proofs[0].lease


async def test_a_commit_goes_on_when_the_lease_of_its_proof_is_gone(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with open_store(member) as store, EtcdClient(member.socket, attempt=5) as client:
        await store.commit([put_task("t1")])
        proof = (await client.range(codec.OPERATIONS, codec.OPERATIONS + b"\xff")).kvs[0]
        await client.lease_revoke(proof.lease)
        await store.commit([put_task("t2")])


# The mirror


async def test_the_mirror_loses_nothing_over_kills_of_its_member(etcd_members: Members) -> None:
    first, second, _ = etcd_members.cluster(3)
    async with open_store(first) as watching, open_store(second) as writing:
        for round_ in range(3):
            written = asyncio.create_task(committed(writing, *range(round_ * 40, round_ * 40 + 40)))
            await until(watching, lambda snapshot, least=round_ * 40 + 5: len(snapshot.tasks) >= least)
            first.kill()
            await written
            first.start()
        await until(watching, lambda snapshot: len(snapshot.tasks) == 120)
        wanted = await writing.fresh()
        assert (await until(watching, lambda snapshot: snapshot.revision >= wanted.revision)).tasks == wanted.tasks


async def test_the_mirror_begins_anew_when_its_place_in_the_history_was_compacted(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with relayed(member.socket) as (path, relay), open_store(path) as watching, open_store(member) as writing:
        await committed(writing, 1, 2, 3)
        await until(watching, lambda snapshot: len(snapshot.tasks) == 3)
        relay.open = False
        relay.cut()
        await writing.commit([Delete(Kind.TASK, "t1")])
        last = (await committed(writing, 4, 5))[-1]
        async with EtcdClient(member.socket, attempt=5) as client:
            await client.compact(last, physical=True)
        assert set(watching.snapshot().tasks) == {"t1", "t2", "t3"}
        relay.open = True
        after = await until(watching, lambda snapshot: "t5" in snapshot.tasks)
        assert set(after.tasks) == {"t2", "t3", "t4", "t5"}
        assert after.tasks == (await writing.fresh()).tasks
        await committed(writing, 6)
        await until(watching, lambda snapshot: "t6" in snapshot.tasks)


async def test_the_mirror_catches_up_when_it_is_far_behind(etcd_members: Members) -> None:
    """etcd then answers with 1,000 revisions at a time, each answer headed by the newest."""
    member = etcd_members.start()
    async with (
        relayed(member.socket) as (path, relay),
        open_store(path) as store,
        EtcdClient(member.socket, attempt=20) as direct,
    ):
        await store.commit([put_task("t0")])
        relay.open = False
        relay.cut()
        value = put_task("t0").encoded
        keys = [codec.key(Kind.TASK, f"t{number}") for number in range(2500)]
        await asyncio.gather(*(direct.put(key, value) for key in keys))
        relay.open = True
        await until(store, lambda snapshot: snapshot.revision >= 2500)
        assert len((await until(store, lambda snapshot: len(snapshot.tasks) == 2500)).tasks) == 2500


async def test_the_mirror_goes_on_after_its_member_was_without_a_leader(etcd_members: Members) -> None:
    first, second, third = etcd_members.cluster(3)
    async with open_store(first) as watching, open_store(second) as writing, EtcdClient(first.socket) as client:
        await committed(writing, 1)
        second.pause()
        third.pause()
        async with asyncio.timeout(SECONDS):
            while (await client.status()).leader:
                await asyncio.sleep(0.05)
        second.resume()
        third.resume()
        await committed(writing, 2)
        await until(watching, lambda snapshot: set(snapshot.tasks) == {"t1", "t2"})


async def test_snapshots_never_go_back_and_are_whole(etcd_members: Members) -> None:
    first, second, _ = etcd_members.cluster(3)
    async with open_store(first) as watching, open_store(second) as writing, asyncio.timeout(SECONDS):

        async def watch() -> None:
            snapshot = watching.snapshot()
            while "end" not in snapshot.tasks:
                newer = await watching.changed(snapshot.revision)
                assert newer.revision > snapshot.revision
                versions = {newer.tasks[id].version if id in newer.tasks else 0 for id in ("a", "b")}
                assert len(versions) == 1, "both were always written together"
                snapshot = newer

        async with asyncio.TaskGroup() as group:
            group.create_task(watch())
            for _ in range(60):
                await writing.commit([put_task("a"), put_task("b")])
            await writing.commit([put_task("end")])


async def test_a_list_of_more_than_a_page_is_whole(etcd_members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarmd.store.mirror.PAGE", 7)
    member = etcd_members.start()
    async with open_store(member) as store:
        await store.commit([put_task(f"t{number}") for number in range(21)])
        async with open_store(member) as late:
            assert late.snapshot().tasks == store.snapshot().tasks


async def test_a_client_without_any_etcd_gives_up(etcd_members: Members) -> None:
    member = etcd_members.member()
    async with EtcdClient(member.socket) as client:
        with pytest.raises(EtcdUnavailable):
            await persist(client.status, within=0.1)
        with pytest.raises(NoLeader):
            await EtcdStore(client).commit([put_task("t1")])


async def test_what_is_cancelled_as_its_member_goes_away_ends(etcd_members: Members) -> None:
    """As where a machine is switched off: etcd ends, and so does the daemon."""
    member = etcd_members.start()
    for steps in range(40):
        async with relayed(member.socket) as (path, relay), EtcdClient(path) as client:
            store = EtcdStore(client)
            running = [asyncio.create_task(each.run()) for each in (store, Leadership(client, "n1"))]
            await store.changed(0)
            await asyncio.sleep(0.02)
            relay.open = False
            relay.cut()
            await asyncio.sleep(steps / 10_000)
            for each in running:
                each.cancel()
            _, still = await asyncio.wait(running, timeout=SECONDS)
            assert not still
