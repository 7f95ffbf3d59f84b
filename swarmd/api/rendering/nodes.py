"""Nodes."""

from __future__ import annotations

import msgspec

from swarmd.api.rendering.common import Json, in_order, meta, resources, without_empty
from swarmd.membership import Reachability
from swarmd.model import Node, NodeLiveness, NodeState
from swarmd.store import Entry


def node(entry: Entry[Node], liveness: NodeLiveness | None, reachability: Reachability) -> Json:
    value = entry.value
    seen = liveness or NodeLiveness(state=NodeState.UNKNOWN)
    shown = meta(entry) | {
        "Spec": without_empty(Name=value.spec.name)
        | {
            "Labels": in_order(value.spec.labels),
            "Role": value.spec.role,
            "Availability": value.spec.availability.value,
        },
        "Description": _description(seen),
        "Status": {"State": seen.state.value} | without_empty(Message=seen.message, Addr=seen.address),
    }
    if value.manager is not None:
        shown["ManagerStatus"] = without_empty(Leader=reachability.leader == value.id or None) | {
            "Reachability": "reachable" if value.id in reachability.reachable else "unreachable",
            "Addr": value.manager.address,
        }
    return shown


def _description(seen: NodeLiveness) -> Json:
    said = seen.description
    return without_empty(Hostname=said.hostname) | {
        "Platform": without_empty(Architecture=said.platform.architecture, OS=said.platform.os),
        "Resources": resources(said.resources),
        "Engine": without_empty(
            EngineVersion=said.engine.engine_version,
            Labels=in_order(said.engine.labels),
            Plugins=[{"Type": plugin.type, "Name": plugin.name} for plugin in said.engine.plugins],
        ),
        "TLSInfo": msgspec.to_builtins(said.tls_info),
    }
