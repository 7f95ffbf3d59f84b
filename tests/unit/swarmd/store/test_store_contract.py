"""What the store's contract promises, of each store there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from etcd_members import Members
from open_stores import open_store
from store_samples import delete_service, put_service, put_task, service, task

from swarmd.errors import AlreadyExists, Deposed, Lost
from swarmd.etcd import EtcdClient
from swarmd.model import TaskState
from swarmd.store import Delete, Kind, Put, Store, Unchanged, codec
from swarmd.store.memory import MemoryStore

Lead = Callable[[], Awaitable[int]]


@pytest.fixture(params=["memory", "etcd"])
async def store_and_lead(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Store, Lead]]:
    """A store, and how a new leader comes, whose epoch is returned."""
    if request.param == "memory":
        memory = MemoryStore()

        async def lead_memory() -> int:
            return memory.lead()

        yield memory, lead_memory
        return

    members: Members = request.getfixturevalue("etcd_members")
    member = members.start()

    async def lead_etcd() -> int:
        async with EtcdClient(member.socket, attempt=5) as client:
            return (await client.put(codec.LEADER, b"{}")).header.revision

    async with open_store(member) as store:
        yield store, lead_etcd


@pytest.fixture
def store(store_and_lead: tuple[Store, Lead]) -> Store:
    return store_and_lead[0]


@pytest.fixture
def lead(store_and_lead: tuple[Store, Lead]) -> Lead:
    return store_and_lead[1]


async def test_what_was_committed_is_in_the_mirror_when_commit_returns(store: Store) -> None:
    revision = await store.commit([put_service("s1"), put_task("t1")])
    snapshot = store.snapshot()
    assert snapshot.revision >= revision
    assert snapshot.services["s1"].value == service("s1")
    assert snapshot.tasks["t1"].value == task("t1")
    assert snapshot.tasks["t1"].created == snapshot.tasks["t1"].version == revision


async def test_an_entry_keeps_the_revision_of_its_birth_and_has_that_of_its_last_change(store: Store) -> None:
    born = await store.commit([put_task("t1")])
    changed = await store.commit([put_task("t1", TaskState.RUNNING)])
    entry = store.snapshot().tasks["t1"]
    assert (entry.created, entry.version) == (born, changed)
    assert changed > born


async def test_a_snapshot_does_not_change_any_more(store: Store) -> None:
    await store.commit([put_task("t1")])
    before = store.snapshot()
    await store.commit([Delete(Kind.TASK, "t1"), put_task("t2")])
    assert set(before.tasks) == {"t1"}
    assert set(store.snapshot().tasks) == {"t2"}


async def test_a_deleted_entry_is_gone_and_its_deletion_may_be_repeated(store: Store) -> None:
    await store.commit([put_task("t1")])
    await store.commit([Delete(Kind.TASK, "t1")])
    await store.commit([Delete(Kind.TASK, "t1")])
    assert not (await store.fresh()).tasks


async def test_of_two_writes_guarded_by_one_version_one_wins(store: Store) -> None:
    version = await store.commit([put_task("t1")])
    guard = Unchanged(Kind.TASK, "t1", version)
    results = await asyncio.gather(
        store.commit([put_task("t1", TaskState.READY)], guards=[guard]),
        store.commit([put_task("t1", TaskState.FAILED)], guards=[guard]),
        return_exceptions=True,
    )
    assert {type(result) for result in results} == {int, Lost}


async def test_a_lost_write_changes_nothing_of_what_it_names(store: Store) -> None:
    await store.commit([put_task("t1")])
    with pytest.raises(Lost):
        await store.commit([put_task("t2"), put_service("s1")], guards=[Unchanged(Kind.TASK, "t1", 1_000_000)])
    snapshot = await store.fresh()
    assert set(snapshot.tasks) == {"t1"}
    assert not snapshot.services
    await store.commit([put_service("s2")])  # nor is the name taken


async def test_a_guard_of_version_0_wants_that_there_is_none(store: Store) -> None:
    absent = Unchanged(Kind.SERVICE, "s1", 0)
    await store.commit([put_service("s1")], guards=[absent])
    with pytest.raises(Lost):
        await store.commit([put_service("s1", tier="two")], guards=[absent])


async def test_a_service_is_changed_by_the_version_that_it_has(store: Store) -> None:
    first = await store.commit([put_service("s1")])
    second = await store.commit([put_service("s1", tier="one")], guards=[Unchanged(Kind.SERVICE, "s1", first)])
    with pytest.raises(Lost):
        await store.commit([put_service("s1", tier="two")], guards=[Unchanged(Kind.SERVICE, "s1", first)])
    assert store.snapshot().services["s1"].version == second


async def test_a_name_belongs_to_one_service(store: Store) -> None:
    await store.commit([put_service("s1", "web")])
    with pytest.raises(AlreadyExists) as conflict:
        await store.commit([put_service("s2", "web"), put_task("t2")])
    assert str(conflict.value) == (
        "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service web already exists"
    )
    assert not (await store.fresh()).tasks


async def test_of_many_who_want_one_name_at_once_one_gets_it(store: Store) -> None:
    results = await asyncio.gather(
        *(store.commit([put_service(f"s{number}", "web")]) for number in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, int) for result in results) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 7
    assert len((await store.fresh()).services) == 1


async def test_one_commit_cannot_give_a_name_to_two(store: Store) -> None:
    with pytest.raises(AlreadyExists):
        await store.commit([put_service("s1", "web"), put_service("s2", "web")])


async def test_the_name_of_a_deleted_service_is_free(store: Store) -> None:
    await store.commit([put_service("s1", "web")])
    await store.commit([delete_service("s1")])
    await store.commit([put_service("s2", "web")])
    assert set(store.snapshot().services) == {"s2"}


async def test_a_name_passes_on_within_one_commit(store: Store) -> None:
    await store.commit([put_service("s1", "web")])
    await store.commit([delete_service("s1"), put_service("s2", "web")])
    with pytest.raises(AlreadyExists):
        await store.commit([put_service("s3", "web")])


async def test_a_service_with_another_name_gives_the_first_one_up(store: Store) -> None:
    await store.commit([put_service("s1", "web")])
    await store.commit([put_service("s1", "shop")])
    await store.commit([put_service("s2", "web")])
    with pytest.raises(AlreadyExists):
        await store.commit([put_service("s3", "shop")])


async def test_a_leader_writes_until_another_comes(store: Store, lead: Lead) -> None:
    first = await lead()
    await store.commit([put_task("t1")], epoch=first)
    second = await lead()
    assert second > first
    with pytest.raises(Deposed):
        await store.commit([put_task("t2")], epoch=first)
    await store.commit([put_task("t3")], epoch=second)
    assert set((await store.fresh()).tasks) == {"t1", "t3"}


async def test_deposed_is_told_before_lost(store: Store, lead: Lead) -> None:
    first = await lead()
    await lead()
    with pytest.raises(Deposed):
        await store.commit([put_task("t1")], guards=[Unchanged(Kind.TASK, "t1", 5)], epoch=first)


async def test_a_user_writes_whoever_leads(store: Store, lead: Lead) -> None:
    await store.commit([put_task("t1")])
    await lead()
    await store.commit([put_task("t2")])


async def test_a_change_wakes_who_waits_for_it(store: Store) -> None:
    since = (await store.fresh()).revision
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        waiting = group.create_task(store.changed(since))
        await store.commit([put_task("t1")])
    assert "t1" in waiting.result().tasks


async def test_changed_answers_at_once_when_the_change_is_past(store: Store) -> None:
    since = (await store.fresh()).revision
    await store.commit([put_task("t1")])
    async with asyncio.timeout(20):
        assert (await store.changed(since)).revision > since


async def test_4000_changes_go_in_one_commit_and_more_are_refused(store: Store) -> None:
    await store.commit([put_task(f"t{number}") for number in range(3999)])
    assert {entry.version for entry in store.snapshot().tasks.values()} == {store.snapshot().tasks["t0"].version}
    with pytest.raises(ValueError, match="4001 operations"):
        await store.commit([put_task(f"t{number}") for number in range(4001)])


@pytest.mark.parametrize("changes", [[], [put_task("t1"), Delete(Kind.TASK, "t1")]], ids=["nothing", "twice"])
async def test_what_no_transaction_can_hold_is_refused(store: Store, changes: list[Put | Delete]) -> None:
    with pytest.raises(ValueError, match="a commit"):
        await store.commit(changes)
