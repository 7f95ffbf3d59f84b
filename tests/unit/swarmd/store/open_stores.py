"""A store by one member of etcd, as that manager's daemon has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from etcd_members import Member

from swarmd.etcd import ATTEMPT, EtcdClient
from swarmd.store.etcd import EtcdStore


@asynccontextmanager
async def open_store(member: Member | Path, *, attempt: float = ATTEMPT) -> AsyncIterator[EtcdStore]:
    """
    :param member: a member, or the path of a socket before one.
    """
    async with EtcdClient(member if isinstance(member, Path) else member.socket, attempt=attempt) as client:
        store = EtcdStore(client)
        running = asyncio.create_task(store.run())
        try:
            async with asyncio.timeout(20):
                await store.changed(0)
            yield store
            assert not running.done(), running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
