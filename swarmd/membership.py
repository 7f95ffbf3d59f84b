"""This node's part in a cluster, as the API sees it: what it may ask, and how a cluster is entered and left."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Protocol

from swarmd.model import SwarmSpec
from swarmd.store import Store
from swarmd.wire import LogOptions


class LocalState(StrEnum):
    """``docker info``'s Swarm.LocalNodeState."""

    INACTIVE = "inactive"
    PENDING = "pending"
    ACTIVE = "active"
    ERROR = "error"
    LOCKED = "locked"


@dataclass(frozen=True)
class Remote:
    node_id: str
    address: str
    """host:port of the manager's cluster port."""


@dataclass(frozen=True)
class LocalNode:
    """What this node knows of itself without asking anyone; never waits, never fails."""

    state: LocalState = LocalState.INACTIVE
    node_id: str = ""
    address: str = ""
    """Without a port."""
    is_manager: bool = False
    error: str = ""
    managers: tuple[Remote, ...] = ()


@dataclass(frozen=True)
class InitRequest:
    listen_address: str = "0.0.0.0:2377"
    advertise_address: str = ""
    data_path_address: str = ""
    data_path_port: int = 0
    """0 is 4789."""
    default_addr_pool: tuple[str, ...] = ()
    subnet_size: int = 0
    """0 is 24."""
    force_new_cluster: bool = False
    spec: SwarmSpec = field(default_factory=SwarmSpec)
    availability: str = "active"


@dataclass(frozen=True)
class JoinRequest:
    remote_addresses: tuple[str, ...]
    token: str
    listen_address: str = "0.0.0.0:2377"
    advertise_address: str = ""
    data_path_address: str = ""
    availability: str = "active"


@dataclass(frozen=True)
class Reachability:
    """What a manager knows of the managers: by node id, whether its etcd takes part now, and who leads."""

    leader: str = ""
    reachable: frozenset[str] = frozenset()


@dataclass(frozen=True)
class LogSelector:
    """Whose logs are wanted: one of the two."""

    service_id: str = ""
    """Of all its tasks; while they are followed, also of those that are yet to come."""
    task_id: str = ""


class LogStream(IntEnum):
    """Numbers as in the frames of Docker's API."""

    STDOUT = 1
    STDERR = 2


@dataclass(frozen=True)
class LogPiece:
    """One line of a task's log, whole and with its end."""

    service_id: str
    task_id: str
    node_id: str
    stream: LogStream
    moment: str
    """RFC 3339, with the nanoseconds that the engine gives."""
    text: bytes
    details: Mapping[str, str] = field(default_factory=dict)
    """What the log driver was told to note with each line."""


class Membership(Protocol):
    def local(self) -> LocalNode: ...

    def store(self) -> Store:
        """
        :raises swarmd.errors.NotInSwarm: this node is in no cluster.
        :raises swarmd.errors.NotManager: it is a worker.
        :raises swarmd.errors.NoLeader: it is a manager whose etcd does not serve: it starts, or there is no quorum.
        """

    async def lacks_leader(self) -> bool:
        """Whether the quorum has been lost for longer than an election or a start takes, so that nobody is to wait for
        it. Costs nothing while it is there; within 0.3 s else; never raises. False where this node is no manager."""

    async def init(self, request: InitRequest) -> str:
        """Make a cluster of this node. Returns the node's id.

        :raises swarmd.errors.AlreadyInSwarm: (not with force_new_cluster)
        """

    async def join(self, request: JoinRequest) -> None:
        """Enter a cluster; the token decides the role. Returns once the node takes part."""

    async def leave(self, *, force: bool) -> None: ...

    async def reachability(self) -> Reachability:
        """Within 1 s, from what is known; never raises."""

    async def check_demotion(self, node_id: str) -> None:
        """
        :raises swarmd.errors.FailedPrecondition: it is the last manager, or the quorum would be lost.
        """

    async def expel(self, node_id: str) -> None:
        """Close a removed node's sessions, here and on the other managers; its certificate is worth nothing now."""

    async def rotate_token(self, *, worker: bool, manager: bool) -> None:
        """Replace join tokens; valid on all managers at once, since they are read from the store."""

    def seal(self, secret: bytes) -> str:
        """What only managers of this cluster can read again, to be stored: a registry's credentials.

        :raises swarmd.errors.NodeUnavailable: this node is no manager.
        :raises swarmd.errors.NoLeader: it is one whose etcd does not serve.
        """

    def logs(self, selector: LogSelector, options: LogOptions) -> AsyncGenerator[list[LogPiece], None]:
        """Lines as nodes have them, those of one task in their order, each list of one task. Ends when there is nothing
        more to come, in any case soon after the nodes that could have more are out of reach. To end it before,
        ``aclose`` it.

        :raises swarmd.errors.NodeUnavailable: this node is no manager; before the first line.
        :raises swarmd.errors.IncompleteLogs: at the end: some could not be had, and why.
        """
