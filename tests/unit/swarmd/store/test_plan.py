"""What the failure of a transaction means, by what etcd says in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from etcd_members import Members
from store_samples import delete_service, put_service, put_task, service

from swarmd.etcd import EtcdClient, persist
from swarmd.model import Service
from swarmd.store import Change, Delete, Entry, Kind, Unchanged, codec
from swarmd.store.plan import BARRED, Plan, Refusal, bar, plan


@pytest.fixture
async def client(etcd_members: Members) -> AsyncIterator[EtcdClient]:
    async with EtcdClient(etcd_members.start().socket, attempt=5) as client:
        await persist(lambda: client.range(b"x"), within=20)
        yield client


def planned(
    *changes: Change,
    guards: tuple[Unchanged, ...] = (),
    epoch: int | None = None,
    known: dict[str, Entry[Service]] | None = None,
    operation: bytes = codec.OPERATIONS + b"1",
) -> Plan:
    return plan(changes, guards, epoch, known=lambda _, id: (known or {}).get(id), operation=operation, lease=0)


async def refusal(client: EtcdClient, what: Plan) -> Refusal:
    answer = await client.txn(what.compare, what.success, what.failure)
    assert not answer.succeeded
    return what.outcome(answer).refusal


async def written(client: EtcdClient, *changes: Change) -> int:
    what = planned(*changes, operation=codec.OPERATIONS + b"0")
    return (await client.txn(what.compare, what.success, what.failure)).header.revision


async def test_the_second_attempt_of_an_operation_finds_it_done(client: EtcdClient) -> None:
    what = planned(put_task("t1"))
    first = await client.txn(what.compare, what.success, what.failure)
    second = await client.txn(what.compare, what.success, what.failure)
    outcome = what.outcome(second)
    assert (outcome.refusal, outcome.revision) == (Refusal.DONE, first.header.revision)


async def test_a_deletion_planned_without_knowing_the_service_is_planned_again(client: EtcdClient) -> None:
    """Else its name would stay taken for ever."""
    await written(client, put_service("s1", "web"))
    assert await refusal(client, planned(delete_service("s1"))) is Refusal.STALE


async def test_a_change_planned_from_an_older_version_is_planned_again(client: EtcdClient) -> None:
    await written(client, put_service("s1", "web"))
    old = {"s1": Entry(service("s1", "shop"), 1, 1)}
    assert await refusal(client, planned(put_service("s1", "web"), known=old)) is Refusal.STALE


async def test_a_name_of_another_service_is_taken(client: EtcdClient) -> None:
    await written(client, put_service("s1", "web"))
    assert await refusal(client, planned(put_service("s2", "web"))) is Refusal.NAME_TAKEN


async def test_a_guard_that_fails_has_lost(client: EtcdClient) -> None:
    await written(client, put_task("t1"))
    what = planned(Delete(Kind.TASK, "t1"), guards=(Unchanged(Kind.TASK, "t1", 0),))
    assert await refusal(client, what) is Refusal.LOST


async def test_a_write_without_any_leader_is_deposed(client: EtcdClient) -> None:
    assert await refusal(client, planned(put_task("t1"), epoch=7)) is Refusal.DEPOSED


async def test_a_barred_operation_cannot_be_made_any_more(client: EtcdClient) -> None:
    what = planned(put_task("t1"))
    assert (await client.txn(*bar(codec.OPERATIONS + b"1", 0))).succeeded
    assert not (await client.txn(what.compare, what.success, what.failure)).succeeded
    assert (await client.range(codec.OPERATIONS + b"1")).kvs[0].value == BARRED
    assert (await client.range(codec.key(Kind.TASK, "t1"))).count == 0
