"""The leader's side of all sessions: who is there, what each node is to run, and what nodes report."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

import structlog
from aiohttp import web

from swarmd import wire
from swarmd.dispatcher.assignments import Assigned
from swarmd.dispatcher.judge import TICK, Judge, Signal
from swarmd.dispatcher.registry_auth import RegistryAuth
from swarmd.dispatcher.session import Ended, Farewell, Session, bid_farewell, receive, turn_away
from swarmd.dispatcher.succession import ARRIVAL, Succession
from swarmd.dispatcher.writes import Sighting, Writes, fresh
from swarmd.errors import Deposed, NoLeader
from swarmd.identity.peer import Peer
from swarmd.identity.vault import CannotOpen
from swarmd.model import NodeState, new_id
from swarmd.store import Snapshot, Store
from swarmd.task_group import TaskGroup

SECOND = 1_000_000_000
DEFAULT_PERIOD = 5 * SECOND
SPREAD = 0.1
"""Part of the heartbeats' period by which each is varied."""
PACE = 0.1
"""Seconds between two looks at the store's changes; the first after a quiet time is taken at once."""
OPENING = 5.0
"""Seconds for an agent to say Hello, and for the store to take note of it."""
REGISTRATIONS = 3
REGISTRATIONS_PAUSE = 8.0
"""More registrations than that, without such a pause (seconds) between two of them, are refused."""

MOVED = 'Node moved to "unknown" state due to leadership change in cluster'

log = structlog.get_logger()


def no_vault(_: str) -> bytes:
    raise CannotOpen("there is no vault")


@dataclass
class _Registrations:
    last: float
    count: int = 1


class Dispatcher:
    """For one term of leadership."""

    def __init__(
        self,
        store: Store,
        epoch: int,
        *,
        managers: Callable[[], list[wire.Manager]],
        signals: Callable[[], Mapping[str, Signal]] = dict,
        succession: Succession | None = None,
        unseal: Callable[[str], bytes] = no_vault,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param managers: those that agents may turn to, as of now.
        :param signals: by address: ``Prober.signals``; without it heartbeats alone count.
        :param succession: without it no node stays Ready.
        :param unseal: opens registry credentials (``Vault.open``).
        """
        self._store = store
        self._managers = managers
        self._signals = signals
        self._succession = succession or Succession()
        self._awaited: set[str] = set()
        """Nodes that stayed Ready, and have not come yet."""
        self._clock = clock
        self._writes = Writes(store, epoch)
        self._judge = Judge(clock())
        self._assigned = Assigned()
        self._routed = Snapshot()
        self._registry_auth = RegistryAuth(unseal, lambda: self._routed)
        self._sessions: dict[str, Session] = {}
        self._registrations: dict[str, _Registrations] = {}
        self._open = asyncio.Event()
        self._ended = False

    async def run(self) -> None:
        """Until another leader has come, or cancelled; sessions are closed then."""
        try:
            snapshot = await fresh(self._store)
            self._awaited = await self._succession.present(snapshot)
            self._begin(snapshot)
            async with TaskGroup() as group:
                group.create_task(self._writes.run())
                group.create_task(self._route())
                group.create_task(self._watch_over())
                await self._writes.settled()
                self._open.set()
        except* Deposed:
            log.info("another manager leads: sessions are closed")
        finally:
            self._ended = True
            self._open.set()
            for session in self._sessions.values():
                session.close(Farewell.NOT_LEADING, "this manager does not lead any more")

    async def opened(self) -> None:
        """Wait until the store tells which nodes are there under this leader."""
        await self._open.wait()

    async def handle(self, websocket: web.WebSocketResponse, peer: Peer, address: str) -> None:
        """One session, from Hello to its end; closes the connection. Never raises for what an agent does.

        :param websocket: prepared; made with ``max_msg_size=wire.LARGEST_MESSAGE``.
        :param peer: by its certificate.
        :param address: the node's as this manager sees it, without a port.
        """
        try:
            async with asyncio.timeout(OPENING):
                session = await self._opened(websocket, peer.node_id, address)
            ended = await self._served(session)
            log.info("session ended", node=peer.node_id, why=ended.reason)
        except TimeoutError:
            ended = Ended(Farewell.UNAVAILABLE, f"the session was not opened within {OPENING:g} s")
        except NoLeader as error:
            ended = Ended(Farewell.UNAVAILABLE, error.message)
        except Ended as error:
            ended = error
            log.info("session refused", node=peer.node_id, why=ended.reason)
        if ended.code == Farewell.NOT_LEADING:
            await turn_away(websocket, self._managers(), None)
        else:
            await bid_farewell(websocket, ended.code, ended.reason)

    async def _opened(self, websocket: web.WebSocketResponse, node_id: str, address: str) -> Session:
        hello = await receive(websocket)
        while hello is None:
            hello = await receive(websocket)
        if not isinstance(hello, wire.Hello):
            raise Ended(Farewell.MALFORMED, "a session begins with Hello")
        await self._open.wait()
        if self._ended:
            raise Ended(Farewell.NOT_LEADING, "this manager does not lead any more")
        self._limit(node_id)
        # A complete assignment from an old snapshot would end tasks: it must hold all that was ever acknowledged.
        if (node := (await self._store.fresh()).nodes.get(node_id)) is None:
            raise Ended(Farewell.REMOVED, f"node {node_id} is not part of the swarm")
        if node.value.manager is not None:
            # The leader's own agent comes from loopback, which other managers must not take for the leader's address.
            address = node.value.manager.address.rpartition(":")[0].strip("[]")
        session = Session(websocket, node_id, new_id(), self._registry_auth.of)
        if older := self._sessions.get(node_id):
            older.close(Farewell.REPLACED, "the node has opened another session")
        self._sessions[node_id] = session
        try:
            self._judge.heard(node_id, self._period() / SECOND, self._clock())
            self._awaited.discard(node_id)
            self._writes.see(node_id, Sighting(NodeState.READY, "", address, hello.description))
            await session.unless_ended(self._writes.settled())
            self._advance(await self._store.fresh())
            self._begin_session(session)
        except BaseException:
            self._forget(session)
            raise
        log.info("node is ready", node=node_id, at=address)
        return session

    def _begin_session(self, session: Session) -> None:
        node = self._routed.nodes.get(session.node_id)
        if node is None:
            raise Ended(Farewell.REMOVED, f"node {session.node_id} is not part of the swarm")
        session.begin(self._managers(), node.value.role.value, self._assigned.of(session.node_id))

    async def _served(self, session: Session) -> Ended:
        try:
            return await session.serve(lambda message: self._hear(session, message))
        finally:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        if self._sessions.get(session.node_id) is session:
            del self._sessions[session.node_id]

    def _hear(self, session: Session, message: wire.FromAgent | None) -> None:
        if self._sessions.get(session.node_id) is not session:
            return
        period = self._period()
        match message:
            case wire.Heartbeat():
                period = round(period * random.uniform(1 - SPREAD, 1 + SPREAD))  # noqa: S311
                session.post(wire.Beat(period))
            case wire.Report(number, statuses):
                self._writes.report(session.node_id, statuses)
                self._writes.then(session.owes(wire.Reported(number)))
            case wire.Described(description):
                self._writes.see(session.node_id, Sighting(description=description))
        self._judge.heard(session.node_id, period / SECOND, self._clock())

    def _limit(self, node_id: str) -> None:
        """
        :raises Ended: the node registers again and again.
        """
        now = self._clock()
        known = self._registrations.get(node_id)
        if known is None or now - known.last > REGISTRATIONS_PAUSE:
            self._registrations[node_id] = _Registrations(now)
            return
        known.count += 1
        if known.count > REGISTRATIONS:
            raise Ended(Farewell.TOO_OFTEN, f"node {node_id} exceeded rate limit count of registrations")
        known.last = now

    def _period(self) -> int:
        cluster = self._store.snapshot().cluster
        return (cluster.value.spec.dispatcher.heartbeat_period if cluster else 0) or DEFAULT_PERIOD

    def _begin(self, snapshot: Snapshot) -> None:
        """Nobody has spoken to this leader yet: all who were not Down are expected to."""
        for node_id in snapshot.nodes:
            known = snapshot.liveness.get(node_id)
            if known is not None and known.value.state is NodeState.DOWN:
                continue
            self._judge.expect(node_id, self._period() / SECOND, self._clock())
            if known is not None and node_id not in self._awaited:
                self._writes.see(node_id, Sighting(NodeState.UNKNOWN, MOVED))
        self._advance(snapshot)

    async def _route(self) -> None:
        while True:
            self._advance(await self._store.changed(self._routed.revision))
            await asyncio.sleep(PACE)

    def _advance(self, snapshot: Snapshot) -> None:
        if snapshot.revision < self._routed.revision:
            return
        self._routed = snapshot
        for node_id, difference in self._assigned.advance(snapshot).items():
            if session := self._sessions.get(node_id):
                session.assign(difference)
        managers = self._managers()
        for session in self._sessions.values():
            node = snapshot.nodes.get(session.node_id)
            if node is None:
                session.close(Farewell.REMOVED, f"node {session.node_id} was removed from the swarm")
            else:
                session.tell(managers, node.value.role.value)
        for node_id in self._judge.watched - snapshot.nodes.keys():
            self._judge.forget(node_id)

    @property
    def sessions(self) -> Set[str]:
        """Ids of the nodes that have one."""
        return self._sessions.keys()

    def session_of(self, node_id: str) -> Session | None:
        return self._sessions.get(node_id)

    def want_logs(self, node_id: str, wanted: wire.LogsWanted) -> bool:
        """Tell a node which logs it is to bring. False where it has no session."""
        session = self._sessions.get(node_id)
        if session is None or not session.has_begun:
            return False
        session.post(wanted)
        return True

    def look(self) -> None:
        """Judge once; ``run`` does it four times a second."""
        for verdict in self._judge.look(self._clock(), self._signals_by_node()):
            log.warning("node is down", node=verdict.node_id, why=verdict.message)
            self._awaited.discard(verdict.node_id)
            self._writes.see(verdict.node_id, Sighting(NodeState.DOWN, verdict.message))
            if session := self._sessions.get(verdict.node_id):
                session.close(Farewell.DOWN, verdict.message)

        if self._awaited and self._judge.awake(self._clock()) > ARRIVAL:
            self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        for node_id in self._awaited & self._store.snapshot().nodes.keys():
            self._writes.see(node_id, Sighting(NodeState.UNKNOWN, MOVED))
        self._awaited.clear()

    async def _watch_over(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.look()

    def _signals_by_node(self) -> dict[str, Signal]:
        signals = self._signals()
        return {
            node_id: signal
            for node_id, liveness in self._store.snapshot().liveness.items()
            if (signal := signals.get(liveness.value.address)) is not None
        }
