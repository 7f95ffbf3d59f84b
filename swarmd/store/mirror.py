"""The store's entries in memory, kept up by a watch that loses nothing and doubles nothing.

It survives restarts of its member, partitions and compaction: it goes on after the last revision that it has, and lists
anew when etcd has forgotten that revision.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from swarmd.etcd import Compacted, EtcdClient, EtcdError, EtcdUnavailable, follow, persist, prefix_end
from swarmd.etcd.stubs import kv_pb2 as kv
from swarmd.etcd.stubs import rpc_pb2 as rpc
from swarmd.store import codec
from swarmd.store.contract import Entry, Kind, Snapshot
from swarmd.store.tables import Tables
from swarmd.store.waiting import Revisions

PAGE = 5000
"""Entries listed by one call; 100,000 in pages of it came in 0.38 s."""
PAGE_SECONDS = 2.0
LATE = 0.1
"""Seconds after which somebody who waits for a revision has progress asked for."""
PAUSE = 0.1

log = structlog.get_logger()


class Mirror:
    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self._tables = Tables()
        self._revisions = Revisions()
        self._loaded = False
        self._wanted = asyncio.Event()
        """Somebody waits for a revision without any change here, as that of a lease that ended elsewhere."""

    @property
    def revision(self) -> int:
        return self._revisions.current

    def snapshot(self) -> Snapshot:
        return self._tables.snapshot(self.revision)

    def named(self, kind: Kind, id: str) -> Entry[Any] | None:
        return self._tables.get(kind, id)

    async def reach(self, revision: int) -> None:
        """Wait until the mirror has all changes up to a revision that etcd has named."""
        try:
            async with asyncio.timeout(LATE):
                await self._revisions.reach(revision)
        except TimeoutError:
            self._wanted.set()
            await self._revisions.reach(revision)

    async def newer(self, since: int) -> Snapshot:
        await self._revisions.reach(since + 1)
        return self.snapshot()

    async def run(self) -> None:
        """Keep the mirror up; never returns."""
        while True:
            try:
                if not self._loaded:
                    await self._load()
                await follow(
                    self._client,
                    codec.ROOT,
                    prefix_end(codec.ROOT),
                    start_revision=self.revision + 1,
                    take=self._take,
                    wanted=self._wanted,
                )
            except* EtcdUnavailable as unavailable:
                log.debug("the watch of the store is opened anew", reason=str(unavailable.exceptions[0]))
            except* Compacted:
                log.info("the store's history has been compacted; all of it is read anew", revision=self.revision)
                self._loaded = False
            except* EtcdError as refusal:
                log.warning("etcd refuses to show the store", reason=str(refusal.exceptions[0]))
                self._loaded = False
            await asyncio.sleep(PAUSE)

    async def _load(self) -> None:
        """List everything at one revision, and only then show it."""
        tables = Tables()
        first = await persist(lambda: self._client.range(codec.LEADER), within=PAGE_SECONDS)
        revision = first.header.revision
        for kind in Kind:
            start, end = codec.prefix(kind), prefix_end(codec.prefix(kind))
            more = True
            while more:
                page = await self._page(start, end, revision)
                for entry in page.kvs:
                    _put(tables, entry)
                more = page.more
                start = page.kvs[-1].key + b"\0" if more else start
        self._tables = tables
        self._loaded = True
        self._revisions.rise(revision)

    async def _page(self, start: bytes, end: bytes, revision: int) -> rpc.RangeResponse:
        # This member had the revision when it answered the first call, so its own state is enough from there on.
        return await persist(
            lambda: self._client.range(
                start, end, revision=revision, limit=PAGE, serializable=True, timeout=PAGE_SECONDS
            ),
            within=PAGE_SECONDS,
        )

    def _take(self, answer: rpc.WatchResponse) -> None:
        for event in answer.events:
            self._apply(event)
        # With events the answer's header may be ahead of them, so it does not say how far the watch is.
        self._rise(answer.events[-1].kv.mod_revision if answer.events else answer.header.revision)

    def _rise(self, revision: int) -> None:
        if revision > self.revision:
            self._revisions.rise(revision)

    def _apply(self, event: kv.Event) -> None:
        if event.kv.mod_revision <= self.revision:
            return
        if event.type == kv.Event.PUT:
            _put(self._tables, event.kv)
        elif named := codec.kind_and_id(event.kv.key):
            self._tables.delete(*named)


def _put(tables: Tables, entry: kv.KeyValue) -> None:
    if named := codec.kind_and_id(entry.key):
        kind, id = named
        value = codec.decode(kind, entry.value)
        tables.put(kind, id, value, created=entry.create_revision, version=entry.mod_revision)
