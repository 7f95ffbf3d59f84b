"""The store's contract without etcd, for tests of what stands on it: one process, no outage, no delay."""

from __future__ import annotations

from collections.abc import Sequence

from swarmd.errors import Deposed, Lost
from swarmd.store.contract import Change, Kind, Put, Snapshot, Unchanged
from swarmd.store.names import conflict, name_changes
from swarmd.store.plan import check
from swarmd.store.tables import Tables
from swarmd.store.waiting import Revisions


class MemoryStore:
    def __init__(self) -> None:
        self.epoch: int | None = None
        """The leader's; None: nobody leads."""
        self._tables = Tables()
        self._revisions = Revisions()
        self._names: dict[tuple[Kind, str], str] = {}

    def lead(self) -> int:
        """Make a new leader; commits with the epoch of the one before are refused from now on."""
        self._revisions.rise(self._revisions.current + 1)
        self.epoch = self._revisions.current
        return self.epoch

    def snapshot(self) -> Snapshot:
        return self._tables.snapshot(self._revisions.current)

    async def fresh(self) -> Snapshot:
        return self.snapshot()

    async def changed(self, since: int) -> Snapshot:
        await self._revisions.reach(since + 1)
        return self.snapshot()

    async def commit(
        self, changes: Sequence[Change], *, guards: Sequence[Unchanged] = (), epoch: int | None = None
    ) -> int:
        check(changes, guards)
        if epoch is not None and epoch != self.epoch:
            raise Deposed
        for guard in guards:
            entry = self._tables.get(guard.kind, guard.id)
            if (entry.version if entry else 0) != guard.version:
                raise Lost
        names = name_changes(changes, self._tables.get)
        for name in names:
            if self._names.get((name.kind, name.name), name.after) not in {name.before, name.after}:
                raise conflict(name.kind, name.name)

        revision = self._revisions.current + 1
        for name in names:
            if name.after:
                self._names[name.kind, name.name] = name.after
            else:
                self._names.pop((name.kind, name.name), None)
        for change in changes:
            if isinstance(change, Put):
                entry = self._tables.get(change.kind, change.id)
                created = entry.created if entry else revision
                self._tables.put(change.kind, change.id, change.value, created=created, version=revision)
            else:
                self._tables.delete(change.kind, change.id)
        self._revisions.rise(revision)
        return revision
