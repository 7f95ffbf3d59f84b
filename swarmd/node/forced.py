"""``swarm init --force-new-cluster``: one manager goes on alone, with all that it knows."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from swarmd.config import Config
from swarmd.errors import Internal, Lost, NodeUnavailable, NoLeader
from swarmd.etcd import EtcdClient, persist
from swarmd.member import quorum_loss
from swarmd.member.arguments import MemberConfig
from swarmd.member.process import EtcdProcess
from swarmd.model import Node, NodeRole
from swarmd.store import Kind, Put, Store, Unchanged
from swarmd.store.codec import LEADER
from swarmd.store.etcd import EtcdStore

FORGETTING = 20.0
"""Seconds for the new member to forget the others; most of it is reading the store, 100,000 tasks in one."""


async def go_on_alone(config: Config, member: MemberConfig, process: EtcdProcess) -> None:
    """Make this manager's etcd a cluster of one, which knows of no other manager.

    :raises swarmd.errors.NodeUnavailable: it did not work. Everything is as it was; or the cluster is new and still
        lists the others, and to ask for it again puts that right.
    """
    etcd, etcdutl = Path(config.etcd.binary), Path(config.etcd.etcdutl)
    try:
        await quorum_loss.force_new_cluster(member, process, etcd=etcd, etcdutl=etcdutl)
        await _forget_the_others(member)
    except (Internal, NoLeader, TimeoutError) as error:
        why = str(error) or f"its etcd did not answer within {FORGETTING:.0f} s"
        raise NodeUnavailable(f"the cluster could not be made anew: {why}") from error


async def _forget_the_others(member: MemberConfig) -> None:
    """Before anything of this manager reads it: its agent would look for the leader at those who are gone."""
    async with EtcdClient(member.socket) as client, asyncio.timeout(FORGETTING):
        await free_the_lead(client)
        store = EtcdStore(client)
        running = asyncio.create_task(store.run())
        try:
            await store.changed(0)
            await drop_lost_managers(store, member.name)
        finally:
            running.cancel()
            await asyncio.wait([running])


async def free_the_lead(client: EtcdClient) -> None:
    """Remove the record of who led: its lease begins anew with the restored data, and its Raft term is above that of
    the new member, which begins at 1, so that the survivor would wait for the lease's end. The epoch of the next record
    is larger all the same, since revisions go on."""
    await persist(lambda: client.delete(LEADER), within=FORGETTING)


async def drop_lost_managers(store: Store, survivor: str) -> None:
    """The others have no vote any more; one that comes back finds that it is a worker.

    :param survivor: its node id.
    """
    while True:
        lost = [
            entry
            for entry in (await store.fresh()).nodes.values()
            if entry.value.id != survivor and entry.value.role is NodeRole.MANAGER
        ]
        if not lost:
            return
        with contextlib.suppress(Lost):
            await store.commit(
                [Put(Kind.NODE, entry.value.id, _as_worker(entry.value)) for entry in lost],
                guards=[Unchanged(Kind.NODE, entry.value.id, entry.version) for entry in lost],
            )
            return


def _as_worker(node: Node) -> Node:
    spec = msgspec.structs.replace(node.spec, role=NodeRole.WORKER.value)
    return msgspec.structs.replace(node, role=NodeRole.WORKER, manager=None, spec=spec, updated_at=datetime.now(UTC))
