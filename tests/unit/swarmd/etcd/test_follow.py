"""A watch that ends when it is cut off, and only then."""

from __future__ import annotations

import asyncio

import pytest
from etcd_members import Members

from swarmd.etcd import Compacted, EtcdClient, EtcdUnavailable, follow, persist
from swarmd.etcd.stubs import rpc_pb2 as rpc


def ignore(_: rpc.WatchResponse) -> None:
    pass


SILENCE = 0.1


async def test_a_watch_of_a_member_that_hangs_is_given_up(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with EtcdClient(member.socket, attempt=5) as client, asyncio.timeout(20):
        start = (await persist(lambda: client.put(b"k", b""), within=20)).header.revision
        seen = asyncio.Event()
        watching = follow(client, b"k", start_revision=start, take=lambda _: seen.set(), silence=SILENCE)
        task = asyncio.create_task(watching)
        await seen.wait()
        member.pause()
        with pytest.raises(ExceptionGroup) as ended:
            await task
        assert ended.value.subgroup(EtcdUnavailable)


async def test_a_quiet_watch_goes_on_for_ever(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with EtcdClient(member.socket, attempt=5) as client:
        start = (await persist(lambda: client.put(b"k", b""), within=20)).header.revision
        progress = asyncio.Semaphore(0)
        watching = follow(client, b"x", start_revision=start, take=lambda _: progress.release(), silence=SILENCE)
        task = asyncio.create_task(watching)
        async with asyncio.timeout(20):
            for _ in range(10):
                await progress.acquire()
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_watch_from_before_the_compaction_says_so(etcd_members: Members) -> None:
    member = etcd_members.start()
    async with EtcdClient(member.socket, attempt=5) as client, asyncio.timeout(20):
        start = (await persist(lambda: client.put(b"k", b""), within=20)).header.revision
        await client.put(b"k", b"")
        await client.compact(start + 1, physical=True)
        with pytest.raises(ExceptionGroup) as ended:
            await follow(client, b"k", start_revision=start, take=ignore)
        assert ended.value.subgroup(Compacted)


async def test_a_watch_ends_when_its_member_has_no_leader(etcd_members: Members) -> None:
    first, second, third = etcd_members.cluster(3)
    async with EtcdClient(first.socket, attempt=5) as client, asyncio.timeout(20):
        start = (await persist(lambda: client.put(b"k", b""), within=20)).header.revision
        second.pause()
        third.pause()
        with pytest.raises(ExceptionGroup) as ended:
            await follow(client, b"k", start_revision=start, take=ignore)
        assert ended.value.subgroup(EtcdUnavailable)
