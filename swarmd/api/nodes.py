"""``/nodes``: list, inspect, change and remove the cluster's members."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from aiohttp import web

from swarmd.api import answers, quorum, reading, rendering
from swarmd.api.context import MEMBERSHIP, Route
from swarmd.api.filters import Filters, any_prefix, labels_match, parse_filters, words
from swarmd.api.lookup import find_node, hostname
from swarmd.errors import FailedPrecondition, OutOfSequence
from swarmd.model import Node, NodeLiveness, NodeRole, NodeState
from swarmd.store import Change, Delete, Entry, Kind, Put, Snapshot, Unchanged

_FILTERS = ("name", "id", "label", "node.label", "role", "membership")
_MEMBERSHIPS = ("pending", "accepted")
_ATTEMPTS = 5
"""Of a removal that races other changes of the node or the cluster."""


async def index(request: web.Request) -> web.Response:
    filters = parse_filters(request.query.get("filters"), _FILTERS)
    roles = words(filters.get("role"), list(NodeRole), "role")
    memberships = words(filters.get("membership"), _MEMBERSHIPS, "membership")
    snapshot = await quorum.read(request)
    reachability = await request.app[MEMBERSHIP].reachability()
    chosen = [
        entry
        for entry in snapshot.nodes.values()
        if _matches(snapshot, entry.value, filters)
        and (not roles or entry.value.role.value in roles)
        and (not memberships or "accepted" in memberships)
    ]
    chosen.sort(key=lambda entry: entry.value.id)
    return answers.json(
        [rendering.node(entry, _seen(snapshot, entry), reachability) for entry in chosen],
    )


def _matches(snapshot: Snapshot, node: Node, filters: Filters) -> bool:
    seen = snapshot.liveness.get(node.id)
    engine_labels = {} if seen is None else seen.value.description.engine.labels
    return (
        any_prefix(node.id, filters.get("id"))
        and any_prefix(hostname(snapshot, node.id), filters.get("name"))
        and labels_match(node.spec.labels, filters.get("node.label"))
        and labels_match(engine_labels, filters.get("label"))
    )


def _seen(snapshot: Snapshot, entry: Entry[Node]) -> NodeLiveness | None:
    seen = snapshot.liveness.get(entry.value.id)
    return None if seen is None else seen.value


async def inspect(request: web.Request) -> web.Response:
    snapshot = await quorum.read(request)
    entry = find_node(snapshot, request.match_info["id"])
    reachability = await request.app[MEMBERSHIP].reachability()
    return answers.json(rendering.node(entry, _seen(snapshot, entry), reachability))


async def update(request: web.Request) -> web.Response:
    spec = await reading.node_spec(request)
    version = answers.version(request, "node")
    entry = find_node(await quorum.read(request), request.match_info["id"])
    node = entry.value
    if node.spec.role == NodeRole.MANAGER and spec.role == NodeRole.WORKER:
        await request.app[MEMBERSHIP].check_demotion(node.id)
    if version != entry.version:
        raise OutOfSequence
    changed = msgspec.structs.replace(node, spec=spec, updated_at=datetime.now(UTC))
    await quorum.write(request, [Put(Kind.NODE, node.id, changed)], Unchanged(Kind.NODE, node.id, version))
    return answers.nothing()


async def remove(request: web.Request) -> web.Response:
    """Its entry goes and its certificate is barred in one: a daemon that dies here leaves no way back for the node."""
    wanted = request.match_info["id"]
    for _ in range(_ATTEMPTS):
        snapshot = await quorum.read(request)
        entry = find_node(snapshot, wanted)
        _check_removal(snapshot, entry, force=answers.loose_flag(request, "force"))
        node_id = entry.value.id
        changes: list[Change] = [Delete(Kind.NODE, node_id), Delete(Kind.LIVENESS, node_id)]
        guards = [Unchanged(Kind.NODE, node_id, entry.version)]
        if snapshot.cluster is not None:
            cluster, version = snapshot.cluster.value, snapshot.cluster.version
            barred = msgspec.structs.replace(cluster, barred={**cluster.barred, node_id: datetime.now(UTC)})
            changes.append(Put(Kind.CLUSTER, cluster.id, barred))
            guards.append(Unchanged(Kind.CLUSTER, cluster.id, version))
        try:
            await quorum.write(request, changes, *guards)
        except OutOfSequence:
            continue
        await request.app[MEMBERSHIP].expel(node_id)
        return answers.nothing()
    raise OutOfSequence


def _check_removal(snapshot: Snapshot, entry: Entry[Node], *, force: bool) -> None:
    """
    :raises FailedPrecondition: it is a manager, or still takes part in the quorum; or it is ready, and not forced.
    """
    node, seen = entry.value, _seen(snapshot, entry)
    if node.spec.role == NodeRole.MANAGER or node.manager is not None:
        raise FailedPrecondition(
            f"node {node.id} is a cluster manager and is a member of the raft cluster. "
            "It must be demoted to worker before removal"
        )
    if not force and seen is not None and seen.state is NodeState.READY:
        raise FailedPrecondition(f"node {node.id} is not down and can't be removed")


ROUTES: tuple[Route, ...] = (
    ("GET", "/nodes", index),
    ("GET", "/nodes/{id:[^/]+}", inspect),
    ("POST", "/nodes/{id:[^/]+}/update", update),
    ("DELETE", "/nodes/{id:[^/]+}", remove),
)
