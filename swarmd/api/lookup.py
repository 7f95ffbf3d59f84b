"""Which object a user means: its full id, then its full name, then the beginning of its id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from swarmd.errors import BadRequest, NoSuchObject
from swarmd.model import Config, Node, Service, Task
from swarmd.store import Entry, Snapshot

T = TypeVar("T")


def find_node(snapshot: Snapshot, wanted: str) -> Entry[Node]:
    """
    :raises NoSuchObject: there is none.
    :raises BadRequest: more than one is meant.
    """
    return _find("node", snapshot.nodes, wanted, lambda node: hostname(snapshot, node.id))


def find_service(snapshot: Snapshot, wanted: str) -> Entry[Service]:
    """As find_node."""
    return _find("service", snapshot.services, wanted, lambda service: service.spec.name)


def find_config(snapshot: Snapshot, wanted: str) -> Entry[Config]:
    """As find_node."""
    return _find("config", snapshot.configs, wanted, lambda config: config.spec.name)


def find_task(snapshot: Snapshot, wanted: str) -> Entry[Task]:
    """As find_node."""
    return _find("task", snapshot.tasks, wanted, task_name)


def hostname(snapshot: Snapshot, node_id: str) -> str:
    """As the node says it; empty as long as it has said nothing."""
    seen = snapshot.liveness.get(node_id)
    return "" if seen is None else seen.value.description.hostname


def task_name(task: Task) -> str:
    """As its container's; a task without a slot has its node's id there."""
    return f"{task.service_name}.{task.slot or task.node_id}.{task.id}"


def _find(kind: str, entries: Mapping[str, Entry[T]], wanted: str, name: Callable[[T], str]) -> Entry[T]:
    if wanted in entries:
        return entries[wanted]
    found = [entry for entry in entries.values() if name(entry.value) == wanted]
    found = found or [entry for identity, entry in entries.items() if identity.startswith(wanted)]
    if not found:
        raise NoSuchObject(f"{kind} {wanted} not found")
    if len(found) > 1:
        raise BadRequest(f"{kind} {wanted} is ambiguous ({len(found)} matches found)")
    return found[0]
