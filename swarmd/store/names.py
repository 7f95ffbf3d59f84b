"""A name belongs to one service, and to one config: what a write claims and gives up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from swarmd.errors import AlreadyExists
from swarmd.model import Config, Service
from swarmd.store.contract import Change, Entry, Kind, Put, Value

NAMED = (Kind.SERVICE, Kind.CONFIG)


@dataclass(frozen=True)
class NameChange:
    kind: Kind
    name: str
    before: str | None
    """Id of the object that has it now, as far as is known; None: nobody."""
    after: str | None


def conflict(kind: Kind, name: str) -> AlreadyExists:
    """In the words of swarmkit's store and moby."""
    return AlreadyExists(f"name conflicts with an existing object: {kind.value} {name} already exists")


def name_changes(changes: Sequence[Change], known: Callable[[Kind, str], Entry[Any] | None]) -> list[NameChange]:
    """What becomes of each name that the changed objects had or get.

    :param known: the entry of an object by its id.
    :raises swarmd.errors.AlreadyExists: two of the changes claim one name.
    """
    before: dict[tuple[Kind, str], str] = {}
    after: dict[tuple[Kind, str], str] = {}
    for change in changes:
        if change.kind not in NAMED:
            continue
        if entry := known(change.kind, change.id):
            before[change.kind, _name(entry.value)] = change.id
        if isinstance(change, Put):
            name = _name(change.value)
            if after.setdefault((change.kind, name), change.id) != change.id:
                raise conflict(change.kind, name)
    return [NameChange(*owned, before.get(owned), after.get(owned)) for owned in dict.fromkeys([*before, *after])]


def _name(value: Value) -> str:
    if not isinstance(value, Service | Config):
        raise TypeError(f"a {type(value).__name__} owns no name")
    return value.spec.name
