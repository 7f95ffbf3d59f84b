"""What a manager does besides what every node does: its etcd member, the store, the cluster port, and leading."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

import msgspec
import structlog
from aiohttp import web

from swarmd import wire
from swarmd.config import Config
from swarmd.dispatcher import IcmpProbe, Prober, turn_away
from swarmd.errors import Lost, NodeUnavailable, NoLeader, PermissionDenied
from swarmd.etcd import EtcdClient
from swarmd.identity.credentials import Credentials
from swarmd.identity.peer import Peer
from swarmd.identity.renewal import Renewal
from swarmd.leader import Leadership
from swarmd.member.admission import Admission
from swarmd.member.arguments import MemberConfig
from swarmd.member.health import Health, PeerProbe
from swarmd.member.process import EtcdProcess
from swarmd.membership import Reachability
from swarmd.model import Cluster, Node, NodeLiveness, NodeRole, NodeState
from swarmd.node import port, protocol, remote
from swarmd.node.authority import Authority, Keys
from swarmd.node.etcd import member_config
from swarmd.node.leading import Leading
from swarmd.node.log_broker import LogBroker
from swarmd.node.quorum import Quorum, votes
from swarmd.node.registrar import Registrar
from swarmd.node.state import NodeState as LocalState
from swarmd.store import Kind, Put, Snapshot, Store, Unchanged
from swarmd.store.etcd import EtcdStore
from swarmd.task_group import TaskGroup

log = structlog.get_logger()

LEFT = "node left the cluster"
TELLING = 2.0
"""Seconds that the leader has to pass on to nodes which logs are wanted."""
LOOK_AT_CERTIFICATE = 3600.0
"""Seconds; the certificate of a node's etcd lasts 90 days."""
STARTING = 10.0
"""Seconds after which a manager that still does not serve waits for a quorum; with one, its etcd takes one to two."""


@dataclass(frozen=True)
class Seed:
    """The first entries of a new cluster."""

    cluster: Cluster
    node: Node


Entrance = Callable[[MemberConfig, EtcdProcess], Awaitable[object]]
"""Brings this manager's etcd to serve: a first member, one that joins, or one that is started again."""


@dataclass(frozen=True)
class Parts:
    """What a manager is made of, once its etcd serves."""

    store: EtcdStore
    health: Health
    admission: Admission
    registrar: Registrar
    quorum: Quorum
    leadership: Leadership
    leading: Leading
    log_broker: LogBroker


class Manager:
    def __init__(
        self,
        config: Config,
        credentials: Credentials,
        authority: Authority,
        local: LocalState,
        process: EtcdProcess,
        *,
        leader_found: Callable[[wire.Manager], None],
    ) -> None:
        """
        :param process: this node's one etcd; it outlives this.
        :param leader_found: told who leads, at each change.
        """
        self._credentials, self._authority, self._local = credentials, authority, local
        self._leader_found = leader_found
        self.member = member_config(config, credentials.node_id, local)
        self.process = process
        self._serving = asyncio.Event()
        self._parts: Parts | None = None
        self._prober = Prober(IcmpProbe())
        self._begun = asyncio.get_running_loop().time()

    async def run(self, enter: Entrance, seed: Seed | None = None) -> None:
        """Until cancelled. etcd runs on then: its unit is its own, and a daemon that is upgraded comes back to it.

        :raises swarmd.errors.SwarmError, swarmd.errors.Internal: this node's etcd cannot be brought into the cluster.
        """
        await asyncio.to_thread(self._sign_peer)
        await enter(self.member, self.process)
        async with (
            EtcdClient(self.member.socket) as client,
            PeerProbe(self.member.peers) as probe,
            TaskGroup() as group,
        ):
            store = EtcdStore(client)
            group.create_task(store.run())
            if seed is not None:
                await sow(store, seed)
            await _loaded(store)
            parts = self._parts = self._assemble(client, probe, store)
            await parts.quorum.enlist()
            group.create_task(parts.leadership.run())
            group.create_task(parts.leading.run())
            group.create_task(self._keep_revocations(store))
            group.create_task(self._keep_peer_certificate())
            group.create_task(self._tell_leader(parts.leadership))
            group.create_task(self._prober.run())
            group.create_task(self._prober.follow(store, self._credentials.node_id))
            async with port.serve(self, self._local.listen_address, self._credentials.server_context()):
                self._serving.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    parts.log_broker.close()

    def _assemble(self, client: EtcdClient, probe: PeerProbe, store: EtcdStore) -> Parts:
        address, peer_url = self._local.advertise_address, self.member.peer_url
        quorum = Quorum(client, probe, store, self._credentials, address, peer_url)
        admission = Admission(client, probe)
        leadership = Leadership(client, self._credentials.node_id, is_there=self._is_there)
        return Parts(
            store,
            Health(client, probe, election_ms=self.member.election_ms),
            admission,
            Registrar(store, self._authority.root, self.managers),
            quorum,
            leadership,
            Leading(store, leadership, quorum, admission, self.managers, self._prober, self._authority.vault.open),
            LogBroker(store, wire.Manager(self._credentials.node_id, address), self._have_logs_brought),
        )

    async def _is_there(self, node_id: str) -> bool:
        known = self.store.snapshot().liveness.get(node_id)
        return known is not None and bool(await self._prober.answering({known.value.address}))

    def session_lost(self) -> None:
        """This node's agent has lost its session with the leader."""
        if self._parts is not None:
            self._parts.leadership.doubt()

    async def serving(self) -> None:
        """Wait until this manager takes part in the cluster."""
        await self._serving.wait()

    @property
    def store(self) -> EtcdStore:
        """
        :raises swarmd.errors.NoLeader: its etcd has not come to serve: there may be no quorum.
        """
        if self._parts is None:
            raise NoLeader
        return self._parts.store

    @property
    def quorum(self) -> Quorum:
        """
        :raises swarmd.errors.NodeUnavailable: its etcd has not come to serve.
        """
        return self._started.quorum

    @property
    def log_broker(self) -> LogBroker:
        """
        :raises swarmd.errors.NodeUnavailable: its etcd has not come to serve.
        """
        return self._started.log_broker

    @property
    def _started(self) -> Parts:
        if self._parts is None:
            raise NodeUnavailable("this manager is starting")
        return self._parts

    def seal(self, secret: bytes) -> str:
        return self._authority.vault.seal(secret)

    async def reachability(self) -> Reachability:
        return await self._parts.health.reachability() if self._parts else Reachability()

    async def lacks_leader(self) -> bool:
        if self._parts is None:
            return asyncio.get_running_loop().time() - self._begun > STARTING
        return await self._parts.health.lacks_leader()

    def managers(self) -> list[wire.Manager]:
        snapshot = self._parts.store.snapshot() if self._parts else Snapshot()
        return [
            wire.Manager(entry.value.id, entry.value.manager.address)
            for entry in snapshot.nodes.values()
            if entry.value.manager is not None and votes(entry.value)
        ]

    def leader(self) -> wire.Manager | None:
        leader_id = self._parts.leadership.leader_id if self._parts else None
        return next((manager for manager in self.managers() if manager.node_id == leader_id), None)

    async def mark_left(self, node_id: str) -> None:
        """A node that leaves is Down at once, not after three heartbeats."""
        known = (await self.store.fresh()).liveness.get(node_id)
        liveness = known.value if known else NodeLiveness(NodeState.DOWN)
        down = msgspec.structs.replace(liveness, state=NodeState.DOWN, message=LEFT, since=datetime.now(UTC))
        await self.store.commit([Put(Kind.LIVENESS, node_id, down)])

    # What other nodes ask (node.port.Manager)

    @property
    def ca_pem(self) -> bytes:
        return self._credentials.ca.certificate_pem

    @property
    def cluster_id(self) -> str:
        return self._credentials.cluster_id

    async def join(self, asked: protocol.Join) -> protocol.Joined:
        return await self._started.registrar.join(asked)

    async def renew(self, asked: Renewal) -> protocol.Renewed:
        return await self._started.registrar.renew(asked)

    async def left(self, peer: Peer) -> protocol.Nothing:
        await self.mark_left(peer.node_id)
        return protocol.Nothing()

    async def session(self, request: web.Request, peer: Peer) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=wire.LARGEST_MESSAGE, autoping=False)
        await socket.prepare(request)
        dispatcher = self._started.leading.dispatcher
        if dispatcher is None:
            await turn_away(socket, self.managers(), self.leader())
        else:
            await dispatcher.handle(socket, peer, request.remote or "")
        return socket

    async def keys(self) -> Keys:
        return self._authority.keys

    async def standing(self, asked: protocol.PeerAsked) -> protocol.Listed:
        return protocol.Listed((await self._started.admission.standing(asked.peer_url)).value)

    async def add(self, asked: protocol.PeerAsked) -> protocol.Added:
        added = await self._started.admission.add(asked.peer_url)
        return protocol.Added(added.member_id, list(added.initial_cluster))

    async def promote(self, asked: protocol.Promote) -> protocol.Nothing:
        await self._started.admission.promote(asked.member_id, asked.applied_index, asked.peer_url)
        return protocol.Nothing()

    async def remove(self, asked: protocol.PeerAsked) -> protocol.Nothing:
        await self._started.admission.remove(asked.peer_url)
        return protocol.Nothing()

    async def hand_over(self) -> protocol.Nothing:
        await self._started.quorum.hand_over()
        return protocol.Nothing()

    async def want_logs(self, asked: protocol.LogsAsked) -> protocol.LogsUntold:
        """
        :raises swarmd.errors.NoLeader: this manager does not lead.
        """
        dispatcher = self._started.leading.dispatcher
        if dispatcher is None:
            raise NoLeader
        return protocol.LogsUntold(
            [one.wanted.delivery for one in asked.nodes if not dispatcher.want_logs(one.node_id, one.wanted)]
        )

    async def take_logs(self, request: web.Request, peer: Peer) -> web.WebSocketResponse:
        return await self._started.log_broker.take(request, peer.node_id)

    async def require_member(self, peer: Peer, role: NodeRole | None = None) -> None:
        """From the mirror: a check at each request of every node must not cost a round of the quorum."""
        node = self.store.snapshot().nodes.get(peer.node_id) or (await self.store.fresh()).nodes.get(peer.node_id)
        if node is None:
            raise PermissionDenied("Permission denied: the node has been removed from the cluster")
        if role is NodeRole.MANAGER and node.value.role is not role:
            raise PermissionDenied("Permission denied: the node is no manager any more")

    # Its own work

    async def _have_logs_brought(self, asked: protocol.LogsAsked) -> protocol.LogsUntold:
        """By the leader, who has the sessions."""
        if self._started.leading.dispatcher is not None:
            return await self.want_logs(asked)
        leader = self.leader()
        if leader is None:
            raise NoLeader
        context = self._credentials.client_context()
        answer = protocol.LogsUntold
        return await remote.ask(leader.address, protocol.WANT_LOGS, asked, answer, context=context, within=TELLING)

    def _sign_peer(self) -> None:
        self._authority.sign_peer(
            self.member.peers,
            node_id=self._credentials.node_id,
            cluster_id=self._credentials.cluster_id,
            advertise_address=self._local.advertise_address,
        )

    async def _keep_peer_certificate(self) -> NoReturn:
        """etcd reads it at every handshake, so that a new file is a renewal."""
        while True:
            await asyncio.sleep(LOOK_AT_CERTIFICATE)
            if self._authority.is_peer_due(self.member.peers, datetime.now(UTC)):
                await asyncio.to_thread(self._sign_peer)
                log.info("renewed the certificate of this node's etcd")

    async def _keep_revocations(self, store: EtcdStore) -> NoReturn:
        """Managers that were demoted or removed get no new connection to this node's etcd."""
        written: set[str] | None = None
        snapshot = store.snapshot()
        while True:
            revoked = revoked_nodes(snapshot)
            if revoked != written:
                await asyncio.to_thread(self._authority.revoke, self.member.peers, revoked)
                written = revoked
            snapshot = await store.changed(snapshot.revision)

    async def _tell_leader(self, leadership: Leadership) -> NoReturn:
        """The agent beside follows a new leader at once."""
        leader_id: str | None = None
        while True:
            leader_id = await leadership.until_leader_changes(leader_id)
            if (leader := self.leader()) is not None:
                self._leader_found(leader)


async def sow(store: Store, seed: Seed) -> None:
    """Only once: a manager that has to begin again still has its seed, and what has grown from it stays."""
    with contextlib.suppress(Lost):
        await store.commit(
            [Put(Kind.CLUSTER, seed.cluster.id, seed.cluster), Put(Kind.NODE, seed.node.id, seed.node)],
            guards=[Unchanged(Kind.CLUSTER, seed.cluster.id, 0)],
        )


async def _loaded(store: EtcdStore) -> None:
    """Wait until the mirror has the cluster; without a quorum that is as long as it takes."""
    snapshot = Snapshot()
    while snapshot.cluster is None:
        try:
            snapshot = await store.fresh()
        except NoLeader:
            continue
        if snapshot.cluster is None:
            snapshot = await store.changed(snapshot.revision)


def revoked_nodes(snapshot: Snapshot) -> set[str]:
    barred = set(snapshot.cluster.value.barred) if snapshot.cluster else set()
    return barred | {node_id for node_id, entry in snapshot.nodes.items() if entry.value.role is NodeRole.WORKER}
