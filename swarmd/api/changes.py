"""What has changed between two snapshots, as Docker's swarm events tell it (moby/moby ``daemon/events.go``). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from swarmd.api.lookup import hostname
from swarmd.membership import Reachability
from swarmd.model import Config, Node, NodeState, Service
from swarmd.store import Snapshot

Event = dict[str, Any]
Attributes = dict[str, str]


def events_between(
    old: Snapshot, new: Snapshot, before: Reachability, after: Reachability, now: datetime
) -> Iterator[Event]:
    """Created, removed and updated nodes, services and configs. Several changes of one object come as one update."""
    for identity, action in _differences(old.nodes, new.nodes):
        kept = (new if action != "remove" else old).nodes[identity].value
        name = kept.spec.name or hostname(new, identity) or hostname(old, identity)
        attributes = {"name": name}
        if action == "update":
            attributes |= _node_update(old.nodes[identity].value, kept)
        yield _event("node", action, identity, attributes, _when(kept, action, now))
    for identity in new.nodes:
        if identity in old.nodes:
            attributes = _liveness_update(old, new, identity) | _manager_update(new, identity, before, after)
            if attributes:
                named = {"name": new.nodes[identity].value.spec.name or hostname(new, identity)}
                yield _event("node", "update", identity, named | attributes, now)
    for identity, action in _differences(old.services, new.services):
        service = (new if action != "remove" else old).services[identity].value
        attributes = {"name": service.spec.name}
        if action == "update":
            attributes |= _service_update(old.services[identity].value, service) | _update_state(old, new, identity)
        yield _event("service", action, identity, attributes, _when(service, action, now))
    for identity, entry in new.services.items():
        # How an update gets on is an entry of its own; with a user's change it is told in that one's event.
        if identity in old.services and old.services[identity].version == entry.version:
            attributes = _update_state(old, new, identity)
            if attributes:
                yield _event("service", "update", identity, {"name": entry.value.spec.name} | attributes, now)
    for identity, action in _differences(old.configs, new.configs):
        config = (new if action != "remove" else old).configs[identity].value
        yield _event("config", action, identity, {"name": config.spec.name}, _when(config, action, now))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for identity in old.keys() - new.keys():
        yield identity, "remove"
    for identity, entry in new.items():
        if identity not in old:
            yield identity, "create"
        elif old[identity].version != entry.version:
            yield identity, "update"


def _node_update(old: Node, new: Node) -> Attributes:
    return _pair("availability", old.spec.availability.value, new.spec.availability.value) | _pair(
        "role", old.role.value, new.role.value
    )


def _liveness_update(old: Snapshot, new: Snapshot, identity: str) -> Attributes:
    return _pair("state", _state(old, identity), _state(new, identity))


def _state(snapshot: Snapshot, identity: str) -> str:
    seen = snapshot.liveness.get(identity)
    return NodeState.UNKNOWN.value if seen is None else seen.value.state.value


def _manager_update(new: Snapshot, identity: str, before: Reachability, after: Reachability) -> Attributes:
    if new.nodes[identity].value.manager is None:
        return {}
    was, now = identity in before.reachable, identity in after.reachable
    words = {True: "reachable", False: "unreachable"}
    return _pair("leader", _bool(identity == before.leader), _bool(identity == after.leader)) | _pair(
        "reachability", words[was], words[now]
    )


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _service_update(old: Service, new: Service) -> Attributes:
    images = old.spec.task_template.container_spec.image, new.spec.task_template.container_spec.image
    attributes = _pair("image", *images)
    if not new.spec.is_global:
        attributes |= _pair("replicas", str(old.spec.replicas), str(new.spec.replicas))
    return attributes


def _update_state(old: Snapshot, new: Snapshot, identity: str) -> Attributes:
    """The first state of an update has no old one beside it."""
    before, after = old.update_of(old.services[identity]), new.update_of(new.services[identity])
    if after is None or (before is not None and before.state is after.state):
        return {}
    attributes = {} if before is None else {"updatestate.old": before.state.value}
    return attributes | {"updatestate.new": after.state.value}


def _pair(name: str, old: str, new: str) -> Attributes:
    return {} if old == new else {f"{name}.old": old, f"{name}.new": new}


def _when(value: Node | Service | Config, action: str, now: datetime) -> datetime:
    return {"create": value.created_at, "update": value.updated_at}.get(action, now)


def _event(kind: str, action: str, identity: str, attributes: Attributes, moment: datetime) -> Event:
    since_epoch = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since_epoch.days * 86_400 + since_epoch.seconds
    return {
        "Type": kind,
        "Action": action,
        "Actor": {"ID": identity, "Attributes": dict(sorted(attributes.items()))},
        "scope": "swarm",
        "time": seconds,
        "timeNano": seconds * 1_000_000_000 + since_epoch.microseconds * 1_000,
    }
