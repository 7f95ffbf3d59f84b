"""A commit as a transaction of etcd's: what it compares, what it writes, and what its failure means."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from swarmd.etcd.stubs import rpc_pb2 as rpc
from swarmd.store import codec
from swarmd.store.contract import Change, Entry, Kind, Put, Unchanged
from swarmd.store.names import NAMED, NameChange, name_changes

MOST_OPERATIONS = 4000
"""In one transaction; etcd runs with --max-txn-ops 4096."""

BARRED = b"barred"
"""Value of an operation's key when the operation was not made, and must not be any more."""


class Refusal(enum.Enum):
    """Why a transaction's comparison failed."""

    DONE = enum.auto()
    """An earlier attempt of the same commit succeeded."""
    DEPOSED = enum.auto()
    STALE = enum.auto()
    """The mirror was behind when the names were planned; plan again."""
    NAME_TAKEN = enum.auto()
    LOST = enum.auto()


@dataclass(frozen=True)
class Outcome:
    refusal: Refusal
    revision: int
    """At which it was compared; of the earlier attempt, when it is DONE."""
    name: tuple[Kind, str] = (Kind.SERVICE, "")
    """The one that is taken."""


def check(changes: Sequence[Change], guards: Sequence[Unchanged]) -> None:
    """
    :raises ValueError: no store can write this in one transaction.
    """
    if not changes:
        raise ValueError("a commit of nothing")
    if max(len(changes), len(guards)) > MOST_OPERATIONS:
        raise ValueError(f"{max(len(changes), len(guards))} operations in one commit; the most is {MOST_OPERATIONS}")
    if len({(change.kind, change.id) for change in changes}) < len(changes):
        raise ValueError("a commit changes an entry twice")


@dataclass(frozen=True)
class Plan:
    compare: list[rpc.Compare]
    success: list[rpc.RequestOp]
    failure: list[rpc.RequestOp]
    epoch: int | None
    named: dict[bytes, int]
    """Keys of the changed objects that own names, with the versions that their names were planned from."""
    names: list[NameChange]

    def outcome(self, answer: rpc.TxnResponse) -> Outcome:
        """What a refused transaction's reads say. They are of the moment in which it was compared."""
        now = answer.header.revision
        found = {kv.key: kv for response in answer.responses for kv in response.response_range.kvs}
        versions = {key: kv.mod_revision for key, kv in found.items()}
        for key, kv in found.items():
            if key.startswith(codec.OPERATIONS):
                return Outcome(Refusal.DONE, kv.create_revision)
        if self.epoch is not None and versions.get(codec.LEADER, 0) != self.epoch:
            return Outcome(Refusal.DEPOSED, now)
        if any(versions.get(key, 0) != version for key, version in self.named.items()):
            return Outcome(Refusal.STALE, now)
        for name in self.names:
            holder = found.get(codec.name_key(name.kind, name.name))
            if holder is not None and holder.value.decode() not in {name.before, name.after}:
                return Outcome(Refusal.NAME_TAKEN, now, (name.kind, name.name))
        return Outcome(Refusal.LOST, now)


def plan(
    changes: Sequence[Change],
    guards: Sequence[Unchanged],
    epoch: int | None,
    *,
    known: Callable[[Kind, str], Entry[Any] | None],
    operation: bytes,
    lease: int,
) -> Plan:
    """
    :param known: the mirror's entry of an object by its id.
    :param operation: key of the proof; each attempt of one commit has the same.
    :raises ValueError: it is too much for one transaction.
    :raises swarmd.errors.AlreadyExists: two of the changes claim one name.
    """
    check(changes, guards)
    names = name_changes(changes, known)
    named = {}
    for change in changes:
        if change.kind in NAMED:
            entry = known(change.kind, change.id)
            named[codec.key(change.kind, change.id)] = entry.version if entry else 0

    compare = [_created(operation, 0)]
    if epoch is not None:
        compare.append(_modified(codec.LEADER, epoch))
    versions = {codec.key(guard.kind, guard.id): guard.version for guard in guards}
    compare += [_modified(key, version) for key, version in versions.items()]
    # A guard of the caller's on the same key may name another version: then both are compared, and it has lost.
    compare += [_modified(key, version) for key, version in named.items() if versions.get(key) != version]
    compare += [_held(name) for name in names]

    success = [_put(operation, b"", lease)]
    success += [_name_operation(name) for name in names if name.before != name.after]
    for change in changes:
        key = codec.key(change.kind, change.id)
        success.append(_put(key, change.encoded) if isinstance(change, Put) else _delete(key))

    read = [operation, codec.LEADER, *named, *(codec.name_key(name.kind, name.name) for name in names)]
    most = max(len(compare), len(success), len(read))
    if most > MOST_OPERATIONS:
        raise ValueError(f"{most} operations in one commit; the most is {MOST_OPERATIONS}")
    return Plan(compare, success, [_get(key) for key in read], epoch, named, names)


def bar(operation: bytes, lease: int) -> tuple[list[rpc.Compare], list[rpc.RequestOp], list[rpc.RequestOp]]:
    """A transaction after which no attempt of the operation that is still on its way can succeed."""
    return [_created(operation, 0)], [_put(operation, BARRED, lease)], [_get(operation)]


def _created(key: bytes, revision: int) -> rpc.Compare:
    return rpc.Compare(key=key, target=rpc.Compare.CREATE, result=rpc.Compare.EQUAL, create_revision=revision)


def _modified(key: bytes, revision: int) -> rpc.Compare:
    return rpc.Compare(key=key, target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, mod_revision=revision)


def _held(name: NameChange) -> rpc.Compare:
    key = codec.name_key(name.kind, name.name)
    if name.before is None:
        return _created(key, 0)
    return rpc.Compare(key=key, target=rpc.Compare.VALUE, result=rpc.Compare.EQUAL, value=name.before.encode())


def _name_operation(name: NameChange) -> rpc.RequestOp:
    key = codec.name_key(name.kind, name.name)
    return _delete(key) if name.after is None else _put(key, name.after.encode())


def _put(key: bytes, value: bytes, lease: int = 0) -> rpc.RequestOp:
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value, lease=lease))


def _delete(key: bytes) -> rpc.RequestOp:
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))


def _get(key: bytes) -> rpc.RequestOp:
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key))
