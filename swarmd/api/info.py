"""``GET /info``: the engine's answer with the swarm section of ours. It always answers, whatever does not."""

from __future__ import annotations

import platform
from typing import Any

from aiohttp import web

from swarmd.api import answers, quorum, rendering
from swarmd.api.context import ENGINE, MEMBERSHIP, Route
from swarmd.errors import SwarmError
from swarmd.membership import LocalState

_TWO_MANAGERS = (
    "WARNING: Running Swarm in a two-manager configuration. This configuration provides\n"
    "         no fault tolerance, and poses a high risk to lose control over the cluster.\n"
    "         Refer to https://docs.docker.com/engine/swarm/admin_guide/ to configure the\n"
    "         Swarm for fault-tolerance."
)


async def info(request: web.Request) -> web.Response:
    try:
        answer = await request.app[ENGINE].get("/info", version=request.match_info.get("version"))
        engine: dict[str, Any] = answer.json(dict[str, Any]) if answer.status == 200 else {}
    except SwarmError as error:
        engine = {"Name": platform.node(), "OSType": "linux", "Warnings": [f"WARNING: {error}"]}
    section = await swarm_section(request)
    warnings = [*(engine.get("Warnings") or ()), *section.get("Warnings", ())]
    return answers.json(engine | {"Swarm": section, "Warnings": warnings or None})


async def swarm_section(request: web.Request) -> dict[str, Any]:
    """``Swarm`` of the answer. That there is no leader, or no store yet, goes to its ``Error``."""
    local = request.app[MEMBERSHIP].local()
    shown: dict[str, Any] = {
        "NodeID": local.node_id,
        "NodeAddr": local.address,
        "LocalNodeState": local.state.value,
        "ControlAvailable": local.is_manager and local.state is LocalState.ACTIVE,
        "Error": local.error,
        "RemoteManagers": [{"NodeID": remote.node_id, "Addr": remote.address} for remote in local.managers] or None,
    }
    if not shown["ControlAvailable"]:
        return shown
    try:
        snapshot = await quorum.read(request)
    except SwarmError as error:
        return shown | {"Error": str(error)}
    managers = sum(entry.value.manager is not None for entry in snapshot.nodes.values())
    shown |= {"Nodes": len(snapshot.nodes), "Managers": managers}
    if snapshot.cluster is not None:
        shown["Cluster"] = rendering.cluster(snapshot.cluster, tokens=False)
    if managers == 2:
        shown["Warnings"] = [_TWO_MANAGERS]
    return shown


ROUTES: tuple[Route, ...] = (("GET", "/info", info),)
