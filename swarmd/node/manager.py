"""What a manager does besides what every node does: its etcd member, the store, the cluster port, and leading."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, TypeVar

import msgspec
import structlog
from aiohttp import web

from swarmd import orchestrator, scheduler, wire
from swarmd.config import Config
from swarmd.dispatcher import Dispatcher, IcmpProbe, Prober, turn_away
from swarmd.errors import Deposed, InvalidArgument, Lost, NodeUnavailable, NoLeader, PermissionDenied
from swarmd.etcd import EtcdClient
from swarmd.identity.credentials import Credentials
from swarmd.identity.peer import Peer
from swarmd.identity.renewal import Renewal
from swarmd.leader import Leadership
from swarmd.member import removal
from swarmd.member.admission import Admission
from swarmd.member.arguments import MemberConfig, PeerFiles
from swarmd.member.health import Health, PeerProbe
from swarmd.member.process import ChildProcess, EtcdProcess, Unit
from swarmd.member.roster import Member
from swarmd.membership import Reachability
from swarmd.model import Cluster, ManagerMember, Node, NodeLiveness, NodeRole, NodeState
from swarmd.node import port, protocol, remote, roles
from swarmd.node.addresses import host_of
from swarmd.node.authority import Authority, Keys
from swarmd.node.registrar import Registrar
from swarmd.node.state import NodeState as LocalState
from swarmd.store import Kind, Put, Snapshot, Unchanged
from swarmd.store.etcd import EtcdStore

log = structlog.get_logger()

Part = TypeVar("Part")

LEFT = "node left the cluster"
WITHDRAWN = 0
"""Stands as the member id of a manager that has left etcd's cluster; etcd gives no member this id."""


@dataclass(frozen=True)
class Seed:
    """The first entries of a new cluster."""

    cluster: Cluster
    node: Node


Entrance = Callable[[MemberConfig, EtcdProcess], Awaitable[object]]
"""Brings this manager's etcd to serve: a first member, one that joins, or one that is started again."""


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
        self._config, self._credentials, self._authority, self._local = config, credentials, authority, local
        self._leader_found = leader_found
        self.member = member_config(config, credentials.node_id, local)
        self.process = process
        self._serving = asyncio.Event()
        self._store: EtcdStore | None = None
        self._health: Health | None = None
        self._admission: Admission | None = None
        self._registrar: Registrar | None = None
        self._leadership: Leadership | None = None
        self._dispatcher: Dispatcher | None = None
        self._probe: PeerProbe | None = None
        self._client: EtcdClient | None = None
        self._prober = Prober(IcmpProbe())

    async def run(self, enter: Entrance, seed: Seed | None = None) -> None:
        """Until cancelled. etcd runs on then: its unit is its own, and a daemon that is upgraded comes back to it.

        :raises swarmd.errors.SwarmError, swarmd.errors.Internal: this node's etcd cannot be brought into the cluster.
        """
        await asyncio.to_thread(self._sign_peer)
        await enter(self.member, self.process)
        async with (
            EtcdClient(self.member.socket) as self._client,
            PeerProbe(self.member.peers) as self._probe,
            asyncio.TaskGroup() as group,
        ):
            store = EtcdStore(self._client)
            group.create_task(store.run())
            if seed is not None:
                await _sow(store, seed)
            await _loaded(store)
            self._store = store
            self._health = Health(self._client, self._probe)
            self._admission = Admission(self._client, self._probe)
            self._registrar = Registrar(store, self._authority.root, self.managers)
            await self._enlist(store, (await self._client.status(timeout=1.0)).header.member_id)
            self._leadership = Leadership(self._client, self._credentials.node_id)
            group.create_task(self._leadership.run())
            group.create_task(self._lead(store, self._leadership))
            group.create_task(self._keep_revocations(store))
            group.create_task(self._tell_leader(self._leadership))
            group.create_task(self._remove_stale_learners(self._admission, self._leadership))
            group.create_task(self._prober.run())
            group.create_task(self._prober.follow(store, self._credentials.node_id))
            async with port.serve(self, self._local.listen_address, self._credentials.server_context()):
                self._serving.set()
                await asyncio.Event().wait()

    async def serving(self) -> None:
        """Wait until this manager takes part in the cluster."""
        await self._serving.wait()

    @property
    def store(self) -> EtcdStore:
        """
        :raises swarmd.errors.NoLeader: its etcd has not come to serve: there may be no quorum.
        """
        if self._store is None:
            raise NoLeader
        return self._store

    async def reachability(self) -> Reachability:
        return await self._health.reachability() if self._health else Reachability()

    async def check_demotion(self, node: Node) -> None:
        if node.manager is not None and self._client is not None and self._probe is not None:
            await removal.check_removal(self._client, self._probe, node.manager.member_id)

    async def hand_over(self) -> protocol.Nothing:
        """Give leadership away, if this manager's etcd has it."""
        if self._client is not None and self._probe is not None:
            await removal.hand_over(self._client, self._probe)
        return protocol.Nothing()

    async def withdraw(self) -> None:
        """Leave etcd's cluster, if that takes nobody else's quorum away. The node stays listed, as one that has left.

        :raises swarmd.errors.SwarmError: the quorum needs it, or is lost.
        """
        client, probe = self._of(self._client), self._of(self._probe)
        member_id = (await client.status()).header.member_id
        await removal.check_removal(client, probe, member_id)
        await self._enlist(self.store, WITHDRAWN)  # afterwards this node's etcd takes no writes
        await removal.remove(client, probe, member_id)

    def managers(self) -> list[wire.Manager]:
        snapshot = self._store.snapshot() if self._store else Snapshot()
        return [
            wire.Manager(entry.value.id, entry.value.manager.address)
            for entry in snapshot.nodes.values()
            if entry.value.manager is not None and entry.value.manager.member_id != WITHDRAWN
        ]

    def leader(self) -> wire.Manager | None:
        leader_id = self._leadership.leader_id if self._leadership else None
        return next((manager for manager in self.managers() if manager.node_id == leader_id), None)

    # What other nodes ask (node.port.Manager)

    @property
    def ca_pem(self) -> bytes:
        return self._credentials.ca.certificate_pem

    @property
    def cluster_id(self) -> str:
        return self._credentials.cluster_id

    async def join(self, asked: protocol.Join) -> protocol.Joined:
        return await self._of(self._registrar).join(asked)

    async def renew(self, asked: Renewal) -> protocol.Renewed:
        return await self._of(self._registrar).renew(asked)

    async def left(self, peer: Peer) -> protocol.Nothing:
        await self.mark_left(peer.node_id)
        return protocol.Nothing()

    async def mark_left(self, node_id: str) -> None:
        """A node that leaves is Down at once, not after three heartbeats."""
        known = (await self.store.fresh()).liveness.get(node_id)
        liveness = known.value if known else NodeLiveness(NodeState.DOWN)
        down = msgspec.structs.replace(liveness, state=NodeState.DOWN, message=LEFT, since=datetime.now(UTC))
        await self.store.commit([Put(Kind.LIVENESS, node_id, down)])

    async def session(self, request: web.Request, peer: Peer) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=wire.LARGEST_MESSAGE, autoping=False)
        await socket.prepare(request)
        if self._dispatcher is None:
            await turn_away(socket, self.managers(), self.leader())
        else:
            await self._dispatcher.handle(socket, peer, request.remote or "")
        return socket

    async def keys(self) -> Keys:
        return self._authority.keys

    async def standing(self, asked: protocol.PeerAsked) -> protocol.Listed:
        return protocol.Listed((await self._of(self._admission).standing(asked.peer_url)).value)

    async def add(self, asked: protocol.PeerAsked) -> protocol.Added:
        added = await self._of(self._admission).add(asked.peer_url)
        return protocol.Added(added.member_id, list(added.initial_cluster))

    async def promote(self, asked: protocol.Promote) -> protocol.Nothing:
        await self._of(self._admission).promote(asked.member_id, asked.applied_index, asked.peer_url)
        return protocol.Nothing()

    async def remove(self, asked: protocol.PeerAsked) -> protocol.Nothing:
        await self._of(self._admission).remove(asked.peer_url)
        return protocol.Nothing()

    async def require_member(self, peer: Peer, role: NodeRole | None = None) -> None:
        """From the mirror: a check at each request of every node must not cost a round of the quorum."""
        node = self.store.snapshot().nodes.get(peer.node_id)
        if node is None and peer.node_id not in (snapshot := await self.store.fresh()).nodes:
            raise PermissionDenied("Permission denied: the node has been removed from the cluster")
        if node is None:
            node = snapshot.nodes[peer.node_id]
        if role is NodeRole.MANAGER and node.value.role is not role:
            raise PermissionDenied("Permission denied: the node is no manager any more")

    # Its own work

    def _sign_peer(self) -> None:
        self._authority.sign_peer(
            self.member.peers,
            node_id=self._credentials.node_id,
            cluster_id=self._credentials.cluster_id,
            advertise_address=self._local.advertise_address,
        )

    async def _enlist(self, store: EtcdStore, member_id: int) -> None:
        """Have this manager's addresses and member in its node's entry, as they are now."""
        member = ManagerMember(self._local.advertise_address, self.member.peer_url, member_id)
        while True:
            entry = (await store.fresh()).nodes.get(self._credentials.node_id)
            if entry is None:
                raise PermissionDenied("Permission denied: this node has been removed from the cluster")
            if entry.value.manager == member:
                return
            changed = msgspec.structs.replace(entry.value, manager=member, updated_at=datetime.now(UTC))
            with contextlib.suppress(Lost):
                await store.commit(
                    [Put(Kind.NODE, entry.value.id, changed)],
                    guards=[Unchanged(Kind.NODE, entry.value.id, entry.version)],
                )

    async def _lead(self, store: EtcdStore, leadership: Leadership) -> None:
        while True:
            epoch = await leadership.until_leading()
            try:
                async with asyncio.TaskGroup() as group:
                    self._dispatcher = Dispatcher(
                        store, epoch, managers=self.managers, signals=lambda: self._prober.signals
                    )
                    group.create_task(self._dispatcher.run())
                    group.create_task(orchestrator.run(store, epoch))
                    group.create_task(scheduler.run(store, epoch))
                    group.create_task(roles.run(store, epoch, remove_member=self._remove_member))
                    group.create_task(_end_with(leadership, epoch))
            except* Deposed:
                leadership.step_down(epoch, "a write was refused")
            finally:
                self._dispatcher = None

    async def _remove_member(self, node: Node) -> None:
        """Take a node that is to be a worker out of etcd."""
        if node.manager is None:
            return
        if node.id == self._credentials.node_id:
            await self.hand_over()
            raise NodeUnavailable("this manager hands leadership over first; the next leader removes it")
        await removal.remove(
            self._of(self._client),
            self._of(self._probe),
            node.manager.member_id,
            ask_to_hand_over=self._ask_to_hand_over,
        )

    async def _ask_to_hand_over(self, member: Member) -> None:
        entry = self.store.snapshot().nodes.get(member.name)
        if entry is None or entry.value.manager is None:
            return
        await remote.ask(
            entry.value.manager.address,
            protocol.HAND_OVER,
            protocol.Nothing(),
            protocol.Nothing,
            context=self._credentials.client_context(),
            within=2.0,
        )

    async def _keep_revocations(self, store: EtcdStore) -> None:
        """Managers that were demoted or removed get no new connection to this node's etcd."""
        written: set[str] | None = None
        snapshot = store.snapshot()
        while True:
            revoked = revoked_nodes(snapshot)
            if revoked != written:
                await asyncio.to_thread(self._authority.revoke, self.member.peers, revoked)
                written = revoked
            snapshot = await store.changed(snapshot.revision)

    async def _tell_leader(self, leadership: Leadership) -> None:
        """The agent beside follows a new leader at once."""
        leader_id: str | None = None
        while True:
            leader_id = await leadership.until_leader_changes(leader_id)
            if (leader := self.leader()) is not None:
                self._leader_found(leader)

    async def _remove_stale_learners(self, admission: Admission, leadership: Leadership) -> None:
        while True:
            await asyncio.sleep(5.0)
            if leadership.epoch is not None:
                with contextlib.suppress(NoLeader, InvalidArgument):
                    for member in await admission.remove_stale():
                        log.info("removed a manager that never finished joining", peer=member.peer_url)

    @staticmethod
    def _of(part: Part | None) -> Part:
        """
        :raises swarmd.errors.NodeUnavailable: this manager has only begun to start.
        """
        if part is None:
            raise NodeUnavailable("this manager is starting")
        return part


async def _sow(store: EtcdStore, seed: Seed) -> None:
    await store.commit([Put(Kind.CLUSTER, seed.cluster.id, seed.cluster), Put(Kind.NODE, seed.node.id, seed.node)])


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


async def _end_with(leadership: Leadership, epoch: int) -> NoReturn:
    await leadership.until_deposed(epoch)
    raise Deposed


def revoked_nodes(snapshot: Snapshot) -> set[str]:
    barred = set(snapshot.cluster.value.barred) if snapshot.cluster else set()
    return barred | {node_id for node_id, entry in snapshot.nodes.items() if entry.value.role is NodeRole.WORKER}


def member_config(config: Config, node_id: str, local: LocalState) -> MemberConfig:
    folder = config.state / "etcd"
    host = host_of(local.advertise_address)
    at = f"[{host}]" if ":" in host else host
    tls = folder / "tls"
    return MemberConfig(
        name=node_id,
        folder=folder,
        peer_url=f"https://{at}:{config.etcd.peer_port}",
        peers=PeerFiles(tls / "peer.crt", tls / "peer.key", tls / "ca.crt", tls / "revoked.crl"),
        heartbeat_ms=config.etcd.heartbeat_interval,
        election_ms=config.etcd.election_timeout,
    )


def etcd_process(config: Config, member: MemberConfig) -> EtcdProcess:
    return Unit(config.etcd.unit) if config.etcd.unit else ChildProcess(Path(config.etcd.binary), member)
