"""Keys and values in etcd: ``/swarmd/v1/<kind>/<id>``, with the object as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from swarmd.model import Cluster, Config, Node, NodeLiveness, Service, ServiceUpdate, Task
from swarmd.store.contract import Kind, Value

ROOT = b"/swarmd/v1/"
LEADER = ROOT + b"leader"
"""The leader record; its mod_revision is the epoch."""
OPERATIONS = ROOT + b"operation/"
"""By a random name, on a lease: proof that a transaction was made."""
_NAMES = ROOT + b"name/"

_TYPES: dict[Kind, type[Value]] = {
    Kind.CLUSTER: Cluster,
    Kind.NODE: Node,
    Kind.LIVENESS: NodeLiveness,
    Kind.SERVICE: Service,
    Kind.UPDATE: ServiceUpdate,
    Kind.CONFIG: Config,
    Kind.TASK: Task,
}
_KINDS = {kind.value.encode(): kind for kind in Kind}
_DECODERS: dict[Kind, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(type_) for kind, type_ in _TYPES.items()}


_PREFIXES = {kind: ROOT + kind.value.encode() + b"/" for kind in Kind}


def prefix(kind: Kind) -> bytes:
    return _PREFIXES[kind]


def key(kind: Kind, id: str) -> bytes:
    return _PREFIXES[kind] + id.encode()


def name_key(kind: Kind, name: str) -> bytes:
    """The key whose value is the id of the object that has the name."""
    return _NAMES + kind.value.encode() + b"/" + name.encode()


def kind_and_id(key: bytes) -> tuple[Kind, str] | None:
    """What an entry's key says; None: the key is none of an entry."""
    kind, _, id = key.removeprefix(ROOT).partition(b"/")
    return (_KINDS[kind], id.decode()) if kind in _KINDS and id else None


def decode(kind: Kind, value: bytes) -> Value:
    """
    :raises msgspec.ValidationError: another version of the daemon wrote what this one does not understand.
    """
    decoded: Value = _DECODERS[kind].decode(value)
    return decoded
