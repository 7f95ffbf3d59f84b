"""The store on etcd."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from swarmd.errors import ClusterError, Deposed, Lost, NoLeader
from swarmd.etcd import ATTEMPT, EtcdClient, EtcdError, EtcdUnavailable
from swarmd.store import codec
from swarmd.store.contract import Change, Snapshot, Unchanged
from swarmd.store.mirror import Mirror
from swarmd.store.names import conflict
from swarmd.store.plan import BARRED, Outcome, Plan, Refusal, bar, check, plan
from swarmd.task_group import TaskGroup

PATIENCE = 2.0
"""Seconds in all after which a call has found no quorum."""
PAUSE = 0.03
PER_OPERATION = 0.0002
"""Seconds that an attempt gets for each operation, on top of the usual deadline; 10 times what was measured."""
OPERATION_TTL = 60
"""Seconds; the proof of an operation lasts for at least half of it, far longer than PATIENCE and etcd's own 5.6 s."""
_LEASE_GONE = "etcdserver: requested lease not found"


class EtcdStore:
    """Implements ``Store`` by one member of etcd. ``run`` must run while it is used.

    Until the first listing, snapshots are of revision 0 and empty: await ``changed(0)``.
    """

    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self._mirror = Mirror(client)
        self._readers = asyncio.Queue[asyncio.Future[int]]()
        self._lease = 0
        self._lease_until = 0.0
        self._granting = asyncio.Lock()

    async def run(self) -> None:
        """Keep the mirror up; never returns."""
        async with TaskGroup() as group:
            group.create_task(self._mirror.run())
            group.create_task(self._read_for_all())

    def snapshot(self) -> Snapshot:
        return self._mirror.snapshot()

    async def changed(self, since: int) -> Snapshot:
        return await self._mirror.newer(since)

    async def fresh(self) -> Snapshot:
        async with _patience():
            revision: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._readers.put_nowait(revision)
            await self._mirror.reach(await revision)
        return self.snapshot()

    async def commit(
        self, changes: Sequence[Change], *, guards: Sequence[Unchanged] = (), epoch: int | None = None
    ) -> int:
        check(changes, guards)
        async with _patience():
            revision = await self._commit(changes, guards, epoch)
            await self._mirror.reach(revision)
        return revision

    async def _read_for_all(self) -> None:
        """Find the current revision for all who wait; only who waited before a read began gets its answer."""
        while True:
            waiting = [await self._readers.get()]
            while not self._readers.empty():
                waiting.append(self._readers.get_nowait())
            try:
                answer = await self._client.range(codec.LEADER, keys_only=True)
            except (EtcdUnavailable, EtcdError):  # they give up by themselves
                for reader in waiting:
                    if not reader.done():
                        self._readers.put_nowait(reader)
                await asyncio.sleep(PAUSE)
            else:
                for reader in waiting:
                    if not reader.done():
                        reader.set_result(answer.header.revision)

    async def _commit(self, changes: Sequence[Change], guards: Sequence[Unchanged], epoch: int | None) -> int:
        operation = codec.OPERATIONS + secrets.token_hex(16).encode()
        uncertain = False
        while True:
            try:
                lease = await self._operation_lease()
                planned = plan(changes, guards, epoch, known=self._mirror.named, operation=operation, lease=lease)
                result = await self._attempt(planned)
            except EtcdUnavailable:
                uncertain = True
                await asyncio.sleep(PAUSE)
                continue
            if isinstance(result, int):
                return result
            await self._mirror.reach(result.revision)  # who reads again sees what the write lost against
            if result.refusal is Refusal.STALE:
                continue
            if uncertain and (earlier := await self._bar(operation)):
                return earlier
            match result.refusal:
                case Refusal.DEPOSED:
                    raise Deposed
                case Refusal.NAME_TAKEN:
                    raise conflict(*result.name)
                case _:
                    raise Lost

    async def _attempt(self, planned: Plan) -> int | Outcome:
        """The revision at which it was written, by this attempt or by one before, or why it was not."""
        try:
            answer = await self._client.txn(
                planned.compare,
                planned.success,
                planned.failure,
                timeout=ATTEMPT + PER_OPERATION * len(planned.success),
            )
        except EtcdError as refusal:
            if refusal.words == _LEASE_GONE:
                self._lease = 0
                raise EtcdUnavailable(refusal.words) from refusal
            raise ClusterError(refusal.words) from refusal
        if answer.succeeded:
            return answer.header.revision
        outcome = planned.outcome(answer)
        return outcome.revision if outcome.refusal is Refusal.DONE else outcome

    async def _bar(self, operation: bytes) -> int | None:
        """Make sure that an attempt which is still on its way is not made later. The revision if it has been made."""
        while True:
            try:
                compare, success, failure = bar(operation, await self._operation_lease())
                answer = await self._client.txn(compare, success, failure)
            except EtcdUnavailable:
                await asyncio.sleep(PAUSE)
                continue
            if answer.succeeded:
                return None
            made = answer.responses[0].response_range.kvs[0]
            return None if made.value == BARRED else made.create_revision

    async def _operation_lease(self) -> int:
        """One lease for all operations of half its time; at its end all their proofs go at once."""
        now = asyncio.get_running_loop().time()
        async with self._granting:
            if not self._lease or now >= self._lease_until:
                self._lease = (await self._client.lease_grant(OPERATION_TTL)).ID
                self._lease_until = now + OPERATION_TTL / 2
            return self._lease


@asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except TimeoutError as error:
        raise NoLeader from error
