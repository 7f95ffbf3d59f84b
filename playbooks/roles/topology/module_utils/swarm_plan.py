"""What must be done so that a swarm's nodes are as the inventory says. Pure: nothing here speaks to an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PROMOTE = "promote"
UPDATE = "update"
DEMOTE = "demote"
REMOVE = "remove"


@dataclass(frozen=True)
class Wanted:
    """One host of the inventory and the node that it is."""

    name: str
    node_id: str
    hostname: str
    address: str
    role: str
    availability: str = ""
    """Empty: left as it is."""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    verb: str
    node_id: str
    host: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    """The complete NodeSpec to send; empty for a removal."""
    changes: tuple[str, ...] = ()
    """One phrase for each thing that changes."""


def plan(nodes: Sequence[Mapping[str, Any]], wanted: Sequence[Wanted], *, replace_labels: bool) -> list[Action]:
    """The steps in the order in which they are safe.

    Managers are added before any is taken away, and the leader goes last among those that go: each step keeps as
    large a majority as there can be.

    :param nodes: the API's Node objects.
    :param replace_labels: whether labels that the inventory does not name are taken away.
    """
    by_id = {node["ID"]: node for node in nodes}
    updates = [
        action
        for host in wanted
        if host.node_id in by_id and (action := _update(by_id[host.node_id], host, replace_labels)) is not None
    ]
    stale = list(_stale(nodes, wanted))
    demotions = [action for action in updates if action.verb == DEMOTE]
    demotions += [_demotion_of_stale(node) for node in stale if node["Spec"]["Role"] == "manager"]
    demotions.sort(
        key=lambda action: (_is_leader(by_id[action.node_id]), action.node_id in {h.node_id for h in wanted})
    )
    return [
        *(action for action in updates if action.verb == PROMOTE),
        *(action for action in updates if action.verb == UPDATE),
        *demotions,
        *(Action(REMOVE, node["ID"], hostname(node), changes=("removed what it was before",)) for node in stale),
    ]


def is_manager(node: Mapping[str, Any]) -> bool:
    """Whether the node is a member of the managers' Raft cluster; its spec alone is only an intention."""
    return bool(node.get("ManagerStatus"))


def is_reachable_manager(node: Mapping[str, Any]) -> bool:
    return (node.get("ManagerStatus") or {}).get("Reachability") == "reachable"


def hostname(node: Mapping[str, Any]) -> str:
    return str((node.get("Description") or {}).get("Hostname") or node["ID"])


def _is_leader(node: Mapping[str, Any]) -> bool:
    return bool((node.get("ManagerStatus") or {}).get("Leader"))


def _update(node: Mapping[str, Any], host: Wanted, replace_labels: bool) -> Action | None:
    before = node["Spec"]
    labels = dict(before.get("Labels") or {})
    after_labels = dict(host.labels) if replace_labels else labels | dict(host.labels)
    availability = host.availability or before["Availability"]
    changes = list(_label_changes(labels, after_labels))
    if availability != before["Availability"]:
        changes.append(f"availability {before['Availability']} -> {availability}")
    verb = UPDATE
    if before["Role"] != host.role:
        verb = PROMOTE if host.role == "manager" else DEMOTE
        changes.append("promoted to manager" if verb == PROMOTE else "demoted to worker")
    if not changes:
        return None
    spec = {**before, "Role": host.role, "Availability": availability, "Labels": after_labels}
    return Action(verb, node["ID"], host.name, spec, tuple(changes))


def _label_changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            yield f"label {key} removed"
        elif before.get(key) != after[key]:
            yield f"label {key}={after[key]}"


def _stale(nodes: Sequence[Mapping[str, Any]], wanted: Sequence[Wanted]) -> Iterator[Mapping[str, Any]]:
    """Nodes that a host of the inventory was before it was wiped and joined anew.

    An equal hostname alone does not prove it, because two machines may have the same one: the node must also be down,
    or have had the host's own address.
    """
    present = {host.node_id for host in wanted}
    addresses = {host.hostname: host.address for host in wanted}
    for node in nodes:
        name = hostname(node)
        if node["ID"] in present or name not in addresses:
            continue
        status = node.get("Status") or {}
        if status.get("State") != "ready" or status.get("Addr") == addresses[name]:
            yield node


def _demotion_of_stale(node: Mapping[str, Any]) -> Action:
    return Action(
        DEMOTE, node["ID"], hostname(node), {**node["Spec"], "Role": "worker"}, ("demoted what it was before",)
    )
