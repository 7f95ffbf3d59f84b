"""Which manager leads: a record in etcd on a lease, taken at once by the manager beside etcd's own leader.

Following etcd's leader alone never notices a hung swarmd, a lease alone is slow; so both (control-notes part 4):
(a) the manager beside etcd's leader takes the record when its Raft term is newer than the record's;
(b) when the record is gone, because its lease ran out or was given up, anyone takes it;
(c) otherwise who holds it keeps it, so that it does not go to and fro;
(d) a holder steps down when the record has changed, a write of its was refused, or its lease was not renewed in time.
The epoch is the record's mod_revision: each write of the leader compares it, so a deposed one can write nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from swarmd.etcd import Compacted, EtcdClient, EtcdError, EtcdUnavailable, follow
from swarmd.etcd.stubs import kv_pb2 as kv
from swarmd.etcd.stubs import rpc_pb2 as rpc
from swarmd.store.codec import LEADER
from swarmd.task_group import TaskGroup

TTL = 3
"""Seconds; etcd raises it where its own election takes longer than two thirds of that."""
POLL = 0.1
"""Seconds between two looks at etcd's Status while the leader may be gone; each costs about 0.7 ms."""
CALM = 0.5
"""Seconds between them otherwise. Only an etcd that has gone from beside a living leader is noticed so late."""
PULSE = 0.2
"""Seconds between two questions to the leader's machine; both they and an answer that is missing are sooner than etcd's
election, which takes 0.3 s at least."""
DOUBT = 1.0
"""Seconds for which the leader may be gone after a sign of that."""
LONGEST_SLEEP = 1.0
"""Seconds until the lease's end is looked at again: the loop's clock stands still while the machine sleeps."""
BESIDE_WAIT = 0.02
OTHERS_WAIT = (0.05, 0.2)
"""Seconds before a bid for a record that is gone: first beside etcd's leader, the others each at another moment."""
YOUNG = 5.0
YOUNG_WAIT = 0.25
"""A daemon that was started less than YOUNG seconds ago bids so much later: it may be crashing in a loop."""

log = structlog.get_logger()


class LeaderRecord(msgspec.Struct, frozen=True):
    node_id: str
    term: int
    """etcd's Raft term in which it was taken."""


class _Held(msgspec.Struct, frozen=True):
    """The record as etcd has it; without a record, ``revision`` is 0."""

    record: LeaderRecord | None = None
    revision: int = 0
    lease: int = 0


_decoder = msgspec.json.Decoder(LeaderRecord)


def uptime() -> float:
    """Seconds; unlike the loop's clock it goes on while the machine sleeps, as leases do on the others."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Leadership:
    """This manager's part in it. ``run`` must run for anything here to change."""

    def __init__(
        self,
        client: EtcdClient,
        node_id: str,
        *,
        is_there: Callable[[str], Awaitable[bool]] | None = None,
        ttl: int = TTL,
        clock: Callable[[], float] = uptime,
    ) -> None:
        """
        :param is_there: whether the machine of a node answers, within 0.1 s; never raises. Without it etcd is asked ten
            times a second whether its leader has changed.
        :param ttl: whole seconds that the record outlasts a leader which does not renew it.
        """
        self._client = client
        self._node_id = node_id
        self._clock = clock
        self._started = clock()
        self._held: _Held | None = None
        """None until it has been read once."""
        self._predecessor: str | None = None
        self._leases: dict[int, float] = {}
        """Leases of this manager's bids, and until when each lasts at least."""
        self._epoch: int | None = None
        self._wanted_ttl = ttl
        self._ttl = float(ttl)
        self._renewal = 0.0
        self._bids = True
        self._is_there = is_there
        self._doubted_until = 0.0
        """By the loop's clock."""
        self._look = asyncio.Event()
        self._news = asyncio.Event()

    @property
    def leader_id(self) -> str | None:
        """The node that holds the record, as far as this manager has heard."""
        return self._held.record.node_id if self._held and self._held.record else None

    @property
    def predecessor(self) -> str | None:
        """The node that led before this leader, as far as this manager has seen it."""
        return self._predecessor

    @property
    def epoch(self) -> int | None:
        """The epoch in which this manager leads now; None: it does not."""
        if self._epoch is None or self._clock() >= self._lasts_until():
            return None
        return self._epoch

    async def until_leading(self) -> int:
        """Wait until this manager leads; returns the epoch."""
        while (epoch := self.epoch) is None:
            await self._news.wait()
        return epoch

    async def until_deposed(self, epoch: int) -> None:
        """Wait until this manager does not lead in that epoch any more."""
        while self.epoch == epoch:
            await self._news.wait()

    async def until_leader_changes(self, leader_id: str | None) -> str | None:
        """Wait until another leader than this one is known; returns its node id."""
        while self.leader_id == leader_id:
            await self._news.wait()
        return self.leader_id

    def doubt(self) -> None:
        """The leader may be gone, as when it has ended a session with this node: look closely for a while."""
        was_calm = self._is_calm()
        self._doubted_until = asyncio.get_running_loop().time() + DOUBT
        if was_calm:
            self._look.set()

    def step_down(self, epoch: int, reason: str) -> None:
        """Stop leading in an epoch, as after a write that was refused as Deposed. Nothing if it is over already."""
        if self._epoch == epoch:
            self._epoch = None
            self._leases.clear()  # else the same record would make it leader again
            log.info(f"leads no more, epoch {epoch}: {reason}")
            self._look.set()
            self._tell()

    async def resign(self) -> None:
        """Give the record up, so that another takes it at once, and never bid again."""
        self._bids = False
        if self._epoch is None or self._held is None:
            return
        lease = self._held.lease
        self.step_down(self._epoch, "it has resigned")
        await self._client.lease_revoke(lease)

    async def run(self) -> None:
        """Never returns; end it by cancelling. The record then stays until its lease has run out: see ``resign``."""
        async with TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._lead_or_follow())
            if self._is_there is not None:
                group.create_task(self._feel_pulse(self._is_there))

    # Knowing the record

    async def _watch(self) -> None:
        while True:
            try:
                answer = await self._client.range(LEADER)
                self._see(answer.kvs[0] if answer.kvs else None)
                await follow(self._client, LEADER, start_revision=answer.header.revision + 1, take=self._take)
            except* (EtcdUnavailable, EtcdError, Compacted) as failures:
                log.debug("the watch of the leader record is opened anew", reason=str(failures.exceptions[0]))
            await asyncio.sleep(POLL)

    def _take(self, answer: rpc.WatchResponse) -> None:
        for event in answer.events:
            self._see(event.kv if event.type == kv.Event.PUT else None)

    def _see(self, entry: kv.KeyValue | None) -> None:
        before = self.leader_id
        held = _Held(_decoder.decode(entry.value), entry.mod_revision, entry.lease) if entry else _Held()
        self._held = held
        if before not in (None, self.leader_id):
            self._predecessor = before
        if held.lease in self._leases and self._epoch != held.revision:
            self._become_leader(held.revision)
        elif self._epoch is not None and self._epoch != held.revision:
            self.step_down(self._epoch, f"{self.leader_id} leads" if held.record else "its lease has run out")
        if held.record and before != held.record.node_id != self._node_id:
            log.info(f"{held.record.node_id} leads, epoch {held.revision}")
        self._look.set()
        self._tell()

    def _become_leader(self, epoch: int) -> None:
        if self._clock() >= self._lasts_until():
            return  # the news of it came after its end
        self._epoch = epoch
        self._renewal = self._clock() + self._ttl / 3
        log.info(f"became leader, epoch {epoch}")

    def _lasts_until(self) -> float:
        return self._leases.get(self._held.lease, 0.0) if self._held else 0.0

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    # Taking it, keeping it

    async def _lead_or_follow(self) -> None:
        while True:
            self._look.clear()
            pause = POLL
            try:
                if self._held is None:
                    pass
                elif self._epoch is not None:
                    await self._keep(self._epoch, self._held.lease)
                    pause = min(self._renewal - self._clock(), LONGEST_SLEEP)
                elif self._bids:
                    await self._bid_if_due(self._held)
                    pause = CALM if self._is_calm() else POLL
            except (EtcdUnavailable, EtcdError) as failure:
                log.debug("etcd does not let this manager bid or renew", reason=str(failure))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause, POLL)):
                    await self._look.wait()

    def _is_calm(self) -> bool:
        """Whether another leads, and nothing speaks against it."""
        if self._is_there is None or self.leader_id in (None, self._node_id):
            return False
        return asyncio.get_running_loop().time() >= self._doubted_until

    async def _feel_pulse(self, is_there: Callable[[str], Awaitable[bool]]) -> None:
        while True:
            if (leader_id := self.leader_id) not in (None, self._node_id) and not await is_there(leader_id):
                self.doubt()
            await asyncio.sleep(PULSE)

    async def _keep(self, epoch: int, lease: int) -> None:
        """Renew the lease when a third of it is over; step down when it may have run out."""
        now = self._clock()
        if now >= self._lasts_until():
            self.step_down(epoch, f"its lease was not renewed for {self._ttl:.0f} s")
        elif now >= self._renewal:
            ttl = await self._client.lease_keep_alive(lease)
            if ttl == 0:
                self.step_down(epoch, "its lease has run out")
            elif self._epoch == epoch:
                self._leases[lease] = now + ttl
                self._renewal = now + ttl / 3

    async def _bid_if_due(self, held: _Held) -> None:
        status = await self._client.status()
        if not status.leader or status.isLearner:
            return
        beside = status.leader == status.header.member_id
        wait = YOUNG_WAIT if self._clock() < self._started + YOUNG else 0.0
        if held.record is None:
            wait += BESIDE_WAIT if beside else random.uniform(*OTHERS_WAIT)  # noqa: S311
        elif not (beside and status.raftTerm > held.record.term) and held.record.node_id != self._node_id:
            return
        # A record of this node without a lease of this process is that of the process before it.
        await asyncio.sleep(wait)
        if self._held == held and self._bids:
            await self._bid(held, status.raftTerm)

    async def _bid(self, held: _Held, term: int) -> None:
        now = self._clock()
        granted = await self._client.lease_grant(self._wanted_ttl)
        self._ttl = float(granted.TTL)
        self._leases = {lease: until for lease, until in self._leases.items() if until > now}
        self._leases[granted.ID] = now + granted.TTL
        record = msgspec.json.encode(LeaderRecord(self._node_id, term))
        unchanged = rpc.Compare(
            key=LEADER, target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, mod_revision=held.revision
        )
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=LEADER, value=record, lease=granted.ID))
        answer = await self._client.txn([unchanged], [put])
        # When this answer is lost, or comes late, the watch tells how it ended.
        if answer.succeeded and self._held == held:
            self._see(kv.KeyValue(key=LEADER, value=record, mod_revision=answer.header.revision, lease=granted.ID))
