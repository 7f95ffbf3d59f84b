"""``swarm init --force-new-cluster``: one manager goes on alone, with all that it knows."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from swarmd.config import Config
from swarmd.errors import Internal, Lost, NodeUnavailable
from swarmd.member import quorum_loss
from swarmd.member.arguments import MemberConfig
from swarmd.member.process import EtcdProcess
from swarmd.model import Node, NodeRole
from swarmd.store import Kind, Put, Store, Unchanged


async def go_on_alone(config: Config, member: MemberConfig, process: EtcdProcess) -> None:
    """Make this manager's etcd a cluster of one.

    :raises swarmd.errors.NodeUnavailable: it did not work; everything is as it was.
    """
    etcd, etcdutl = Path(config.etcd.binary), Path(config.etcd.etcdutl)
    try:
        await quorum_loss.force_new_cluster(member, process, etcd=etcd, etcdutl=etcdutl)
    except Internal as error:
        raise NodeUnavailable(f"the cluster could not be made anew: {error}") from error


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
