"""A node's part in a cluster that does what the test says; the store behind it is a real one, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from swarmd.errors import (
    AlreadyInSwarm,
    IncompleteLogs,
    NodeUnavailable,
    NoLeader,
    NotInSwarm,
    NotManager,
)
from swarmd.identity import Vault, new_key
from swarmd.membership import (
    InitRequest,
    JoinRequest,
    LocalNode,
    LocalState,
    LogPiece,
    LogSelector,
    Reachability,
    Remote,
)
from swarmd.model import (
    Availability,
    Cluster,
    EngineDescription,
    EnginePlugin,
    ManagerMember,
    Node,
    NodeDescription,
    NodeLiveness,
    NodeRole,
    NodeSpec,
    NodeState,
    Platform,
    Resources,
    SwarmSpec,
)
from swarmd.store import Kind, Put, Snapshot, Unchanged
from swarmd.store.memory import MemoryStore
from swarmd.wire import LogOptions

MANAGER1, MANAGER2, WORKER1 = (name.ljust(25, "0") for name in ("1manager1", "2manager2", "3worker1"))
LONG_AGO = datetime(2026, 5, 1, 12, 30, 0, 123400, tzinfo=UTC)


def root_certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "swarm-ca")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(LONG_AGO).not_valid_after(LONG_AGO + timedelta(days=7300))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


ROOT = root_certificate()


class LostQuorumStore(MemoryStore):
    """As long as ``lost`` is set, it says that there is no quorum; as long as ``silent`` is, it says nothing."""

    lost = False
    silent = False
    meeting: asyncio.Barrier | None = None
    """Whoever has read waits here for the others, once, so that all go on from the same state."""

    async def fresh(self) -> Snapshot:
        if self.lost:
            raise NoLeader
        if self.silent:
            await asyncio.Event().wait()
        snapshot = await super().fresh()
        if (meeting := self.meeting) is not None:
            await meeting.wait()
            self.meeting = None
        return snapshot

    async def commit(self, changes, *, guards=(), epoch=None) -> int:
        if self.lost:
            raise NoLeader
        return await super().commit(changes, guards=guards, epoch=epoch)


class ScriptedMembership:
    def __init__(self) -> None:
        self.the_store = LostQuorumStore()
        self.now = LocalNode()
        self.reach = Reachability()
        self.leaderless = False
        """Whether it is known that there is no quorum."""
        self.starts = False
        """Whether it is a manager whose etcd does not serve yet."""
        self.refuse_demotion: Exception | None = None
        self.refuse_leave: Exception | None = None
        self.vault = Vault(new_key())
        self.calls: list[object] = []
        self.brought: list[list[LogPiece]] = []
        """What nodes bring of logs."""
        self.lacking: list[str] = []
        """Why that is not all."""
        self.more: asyncio.Event | None = None
        """Where it is set, logs end only after it; until then they are followed."""
        self.unwanted = asyncio.Event()
        """The reader of logs has gone."""

    def local(self) -> LocalNode:
        return self.now

    def store(self) -> MemoryStore:
        if self.now.state is LocalState.INACTIVE:
            raise NotInSwarm
        if not self.now.is_manager:
            raise NotManager
        if self.starts:
            raise NoLeader
        return self.the_store

    async def lacks_leader(self) -> bool:
        return self.leaderless

    async def init(self, request: InitRequest) -> str:
        if self.now.state is not LocalState.INACTIVE and not request.force_new_cluster:
            raise AlreadyInSwarm
        self.calls.append(request)
        await self.form(request.spec, Availability(request.availability))
        return MANAGER1

    async def form(self, spec: SwarmSpec | None = None, availability: Availability = Availability.ACTIVE) -> None:
        """A cluster of this node alone."""
        cluster = Cluster(
            id="c".ljust(25, "0"),
            spec=spec or SwarmSpec(),
            created_at=LONG_AGO,
            updated_at=LONG_AGO,
            ca_certificate=ROOT,
            worker_token="SWMTKN-1-" + "a" * 50 + "-worker",
            manager_token="SWMTKN-1-" + "a" * 50 + "-manager",
        )
        await self.the_store.commit([Put(Kind.CLUSTER, cluster.id, cluster)])
        await self.add(MANAGER1, "manager1", manager="192.168.56.10", availability=availability)
        self.now = LocalNode(
            LocalState.ACTIVE, MANAGER1, "192.168.56.10", True, managers=(Remote(MANAGER1, "192.168.56.10:2377"),)
        )
        self.reach = Reachability(MANAGER1, frozenset({MANAGER1}))

    async def add(
        self,
        node_id: str,
        hostname: str,
        *,
        manager: str | None = None,
        state: NodeState = NodeState.READY,
        availability: Availability = Availability.ACTIVE,
        labels: dict[str, str] | None = None,
    ) -> None:
        role = NodeRole.MANAGER if manager else NodeRole.WORKER
        member = ManagerMember(f"{manager}:2377", f"https://{manager}:2380", 1) if manager else None
        spec = NodeSpec(role=role.value, availability=availability, labels=labels or {})
        node = Node(node_id, spec, role, LONG_AGO, LONG_AGO, member)
        description = NodeDescription(
            hostname=hostname,
            platform=Platform("x86_64", "linux"),
            resources=Resources(2_000_000_000, 4 << 30),
            engine=EngineDescription("26.1.5", {"disk": "ssd"}, [EnginePlugin("Network", "bridge")]),
        )
        liveness = NodeLiveness(state=state, address=manager or "192.168.56.21", description=description)
        await self.the_store.commit([Put(Kind.NODE, node_id, node), Put(Kind.LIVENESS, node_id, liveness)])

    async def join(self, request: JoinRequest) -> None:
        self.calls.append(request)
        self.now = LocalNode(LocalState.ACTIVE, WORKER1, "192.168.56.21", is_manager=False)

    async def leave(self, *, force: bool) -> None:
        if self.now.state is LocalState.INACTIVE:
            raise NodeUnavailable("This node is not part of a swarm")
        if self.refuse_leave is not None and not force:
            raise self.refuse_leave
        self.calls.append(("leave", force))
        self.now = LocalNode()

    async def reachability(self) -> Reachability:
        return self.reach

    async def check_demotion(self, node_id: str) -> None:
        self.calls.append(("check_demotion", node_id))
        if self.refuse_demotion is not None:
            raise self.refuse_demotion

    async def expel(self, node_id: str) -> None:
        self.calls.append(("expel", node_id))

    async def rotate_token(self, *, worker: bool, manager: bool) -> None:
        self.calls.append(("rotate", worker, manager))
        entry = self.the_store.snapshot().cluster
        assert entry is not None
        changes = {}
        if worker:
            changes["worker_token"] = "SWMTKN-1-" + "a" * 50 + "-worker2"
        if manager:
            changes["manager_token"] = "SWMTKN-1-" + "a" * 50 + "-manager2"
        cluster = msgspec.structs.replace(entry.value, **changes)
        guard = Unchanged(Kind.CLUSTER, cluster.id, entry.version)
        await self.the_store.commit([Put(Kind.CLUSTER, cluster.id, cluster)], guards=[guard])

    def seal(self, secret: bytes) -> str:
        return self.vault.seal(secret)

    async def logs(self, selector: LogSelector, options: LogOptions) -> AsyncGenerator[list[LogPiece], None]:
        self.calls.append((selector, options))
        try:
            for some in self.brought:
                yield some
            if self.more is not None:
                await self.more.wait()
        finally:
            self.unwanted.set()
        if self.lacking:
            raise IncompleteLogs(self.lacking)
