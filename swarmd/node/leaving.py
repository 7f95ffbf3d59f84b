"""What leaving a cluster takes: Docker's warning to managers, a word to the cluster, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path

import structlog

from swarmd.engine.client import Engine
from swarmd.engine.container import NODE_ID
from swarmd.errors import EngineRefused, EngineUnreachable, Internal, NoLeader, SwarmError
from swarmd.etcd import EtcdError
from swarmd.member.roster import majority
from swarmd.node import protocol, remote
from swarmd.node.manager import Manager
from swarmd.node.participation import Participation
from swarmd.node.quorum import votes

log = structlog.get_logger()

GOODBYE = 3.0
"""Seconds for all that is said to others: leaving works in any state of the cluster."""


async def refusal(manager: Manager | None) -> str:
    """Why a manager has to say ``--force``, in the words of moby's ``daemon/cluster/swarm.go``."""
    words = "You are attempting to leave the swarm on a node that is participating as a manager. "
    try:
        if manager is None:
            raise NoLeader
        snapshot = await manager.store.fresh()
    except SwarmError:
        words += "Doing so may lose the consensus of your cluster. "
    else:
        managers = [entry.value.id for entry in snapshot.nodes.values() if votes(entry.value)]
        reachable = len((await manager.reachability()).reachable.intersection(managers))
        if len(managers) <= 1:
            return (
                f"{words}Removing the last manager erases all current state of the swarm. "
                "Use `--force` to ignore this message. "
            )
        if reachable - 1 < majority(len(managers)):
            words += (
                f"Removing this node leaves {reachable - 1} managers out of {len(managers)}. "
                "Without a Raft quorum your swarm will be inaccessible. "
            )
    return (
        f"{words}The only way to restore a swarm that has lost consensus is to reinitialize it with "
        "`--force-new-cluster`. Use `--force` to suppress this message."
    )


async def say_goodbye(current: Participation) -> None:
    """The node is shown as Down at once, and a manager gives its vote back where the quorum does not need it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GOODBYE):
            await _tell(current)
            if current.manager is not None:
                try:
                    await current.manager.quorum.withdraw()
                except (SwarmError, Internal, EtcdError) as error:
                    log.info("this manager leaves without giving its vote back", why=str(error))


async def _tell(current: Participation) -> None:
    if current.manager is not None:
        with contextlib.suppress(SwarmError, Internal):
            await current.manager.mark_left(current.credentials.node_id)
        return
    for manager in current.local.managers:
        try:
            await remote.ask(
                manager.address,
                protocol.LEAVE,
                protocol.Nothing(),
                protocol.Nothing,
                context=current.credentials.client_context(),
                within=1.0,
            )
        except (remote.Unreachable, SwarmError):
            continue
        return


async def remove_containers(engine: Engine, node_id: str) -> None:
    """Those of the cluster's tasks on this node. Without an engine they are removed when it is in a cluster again."""
    try:
        for container in await engine.tasks():
            if container.labels.get(NODE_ID) == node_id:
                await engine.remove(container.id)
    except (EngineUnreachable, EngineRefused) as error:
        log.warning("the containers of this node's tasks could not be removed", why=str(error))


def forget_tasks(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
