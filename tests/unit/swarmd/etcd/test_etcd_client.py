"""The client against a real etcd."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from etcd_members import Member, Members, free_address

from swarmd.etcd import EtcdClient, EtcdError, EtcdUnavailable, persist, prefix_end
from swarmd.etcd.stubs import rpc_pb2 as rpc


@pytest.fixture
def member(etcd_members: Members) -> Member:
    return etcd_members.start()


@pytest.fixture
async def client(member: Member) -> AsyncIterator[EtcdClient]:
    async with EtcdClient(member.socket) as client:
        await persist(lambda: client.range(b"x"), within=10)
        yield client


async def test_what_was_put_is_found_and_can_be_deleted(client: EtcdClient) -> None:
    put = await client.put(b"/a/1", b"one")
    found = (await client.range(b"/a/", prefix_end(b"/a/"))).kvs
    assert [(kv.key, kv.value, kv.mod_revision) for kv in found] == [(b"/a/1", b"one", put.header.revision)]
    assert (await client.delete(b"/a/1")).deleted == 1
    assert (await client.range(b"/a/1")).count == 0


async def test_a_transaction_is_made_only_if_its_comparison_holds(client: EtcdClient) -> None:
    absent = rpc.Compare(key=b"k", target=rpc.Compare.CREATE, create_revision=0)
    put = rpc.RequestOp(request_put=rpc.PutRequest(key=b"k", value=b"v"))
    assert (await client.txn([absent], [put])).succeeded
    assert not (await client.txn([absent], [put])).succeeded


async def test_a_lease_is_renewed_until_it_is_revoked_and_takes_its_keys_along(client: EtcdClient) -> None:
    lease = await client.lease_grant(30)
    await client.put(b"leased", b"", lease=lease.ID)
    assert await client.lease_keep_alive(lease.ID) == 30
    await client.lease_revoke(lease.ID)
    assert await client.lease_keep_alive(lease.ID) == 0
    assert (await client.range(b"leased")).count == 0


async def test_a_watch_tells_of_changes_from_its_first_revision_on(client: EtcdClient) -> None:
    first = (await client.put(b"/w/1", b"a")).header.revision
    await client.put(b"/w/2", b"b")
    async with client.watch(b"/w/", prefix_end(b"/w/"), start_revision=first) as stream:
        seen: list[bytes] = []
        async for answer in stream:
            seen += [event.kv.key for event in answer.events]
            if len(seen) == 2:
                break
        assert seen == [b"/w/1", b"/w/2"]


async def test_a_quiet_watch_says_how_far_it_is_when_asked(client: EtcdClient) -> None:
    revision = (await client.put(b"elsewhere", b"")).header.revision
    async with client.watch(b"/w/", prefix_end(b"/w/"), start_revision=revision + 1) as stream:
        async for answer in stream:
            if answer.created:
                await stream.ask_progress()
            else:
                assert not answer.events
                assert answer.header.revision >= revision
                break


async def test_a_refusal_of_etcd_is_told_in_its_words(client: EtcdClient) -> None:
    with pytest.raises(EtcdError, match="etcdserver: member not found") as refusal:
        await client.member_remove(42)
    assert refusal.value.code == "NOT_FOUND"


async def test_the_call_to_a_stopped_member_ends_at_its_deadline(client: EtcdClient, member: Member) -> None:
    member.pause()
    with pytest.raises(EtcdUnavailable):
        await client.put(b"k", b"v", timeout=0.05)
    member.resume()
    await persist(lambda: client.put(b"k", b"v"), within=10)


async def test_a_client_lives_through_a_restart_of_its_member(client: EtcdClient, member: Member) -> None:
    await client.put(b"k", b"v")
    member.kill()
    with pytest.raises(EtcdUnavailable):
        await persist(lambda: client.range(b"k"), within=0.1)
    member.start()
    assert (await persist(lambda: client.range(b"k"), within=10)).kvs[0].value == b"v"


async def test_a_call_ends_with_an_error_when_the_client_is_closed_under_it(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with EtcdClient(member.socket, attempt=20) as client:
        await client.put(b"k", b"v")
        member.pause()
        call = asyncio.create_task(client.put(b"k", b"v"))
        await asyncio.sleep(0)
    with pytest.raises(EtcdUnavailable):
        await call


async def test_a_call_that_is_cancelled_is_cancelled(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with EtcdClient(member.socket, attempt=20) as client:
        await client.put(b"k", b"v")
        member.pause()
        call = asyncio.create_task(client.put(b"k", b"v"))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_client_of_no_member_says_so(tmp_path: Path) -> None:
    async with EtcdClient(tmp_path / "nobody.sock") as client:
        with pytest.raises(EtcdUnavailable):
            await client.status()


def test_a_socket_path_that_no_kernel_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 107"):
        EtcdClient("/" + "long" * 30)


async def promoted(client: EtcdClient, learner: int) -> bool:
    try:
        await client.member_promote(learner)
    except EtcdError as refusal:
        if "in sync with leader" in refusal.words:
            return False
        raise
    return True


async def test_a_learner_joins_is_promoted_led_to_and_removed(etcd_members: Members) -> None:
    first = etcd_members.start("m1")
    async with EtcdClient(first.socket, attempt=2) as client:
        url = f"http://{free_address()}"
        added = await persist(lambda: client.member_add([url], learner=True), within=10)
        assert added.member.isLearner
        second = etcd_members.start("m2", {"m1": first.peer_url, "m2": url}, state="existing")

        async with asyncio.timeout(10), EtcdClient(second.socket) as of_second:
            while not await promoted(client, added.member.ID):
                await asyncio.sleep(0.05)
            await persist(lambda: of_second.range(b"k"), within=5)
            await client.move_leader(added.member.ID)
            while (await of_second.status()).leader != added.member.ID:
                await asyncio.sleep(0.01)
            with pytest.raises(EtcdError, match="not leader"):
                await client.move_leader(added.member.ID)
        listed = (await client.member_list()).members
        assert sorted(member.name for member in listed) == ["m1", "m2"]
        mine = next(member.ID for member in listed if member.name == "m1")
        await client.member_update(mine, [first.peer_url])
        assert len((await client.member_remove(added.member.ID)).members) == 1


async def test_a_snapshot_is_the_database_and_its_digest(client: EtcdClient) -> None:
    await client.put(b"k", b"v" * 100_000)
    whole = b"".join([piece async for piece in client.snapshot(timeout=10)])
    assert hashlib.sha256(whole[:-32]).digest() == whole[-32:]


async def test_the_database_is_kept_small(client: EtcdClient) -> None:
    revision = (await client.put(b"k", b"v")).header.revision
    await client.put(b"k", b"w")
    await client.compact(revision + 1, physical=True, timeout=5)
    with pytest.raises(EtcdError, match="compacted"):
        await client.range(b"k", revision=revision)
    await client.defragment(timeout=5)
    assert list(await client.alarms()) == []
