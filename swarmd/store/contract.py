"""What the rest of the daemon may ask of the store, and what it may rely on.

Reading is from a mirror in memory that a watch keeps up; a snapshot is immutable and costs nothing to take. Writing is
one transaction: all of it or nothing, guarded by the versions of what it was planned from.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import msgspec

from swarmd.model import Cluster, Config, Node, NodeLiveness, NodeState, Service, ServiceUpdate, Task

T_co = TypeVar("T_co", covariant=True)


class Kind(enum.StrEnum):
    CLUSTER = "cluster"
    """One entry, with the cluster's id."""
    NODE = "node"
    LIVENESS = "liveness"
    """By node id."""
    SERVICE = "service"
    UPDATE = "update"
    """How a service's rolling update gets on; by service id."""
    CONFIG = "config"
    TASK = "task"


@dataclass(frozen=True)
class Entry(Generic[T_co]):
    value: T_co
    created: int
    """Revision at which it came to be."""
    version: int
    """Revision of its last change: the API's ``Version.Index``."""


@dataclass(frozen=True)
class Snapshot:
    """Everything at one revision. Mappings are by id and never change; the next snapshot has new ones."""

    revision: int = 0
    clusters: Mapping[str, Entry[Cluster]] = field(default_factory=dict)
    nodes: Mapping[str, Entry[Node]] = field(default_factory=dict)
    liveness: Mapping[str, Entry[NodeLiveness]] = field(default_factory=dict)
    services: Mapping[str, Entry[Service]] = field(default_factory=dict)
    updates: Mapping[str, Entry[ServiceUpdate]] = field(default_factory=dict)
    configs: Mapping[str, Entry[Config]] = field(default_factory=dict)
    tasks: Mapping[str, Entry[Task]] = field(default_factory=dict)

    @property
    def cluster(self) -> Entry[Cluster] | None:
        return next(iter(self.clusters.values()), None)

    def liveness_of(self, node_id: str) -> NodeLiveness:
        """Unknown where the node was never heard."""
        seen = self.liveness.get(node_id)
        return NodeLiveness(NodeState.UNKNOWN) if seen is None else seen.value

    def update_of(self, service: Entry[Service]) -> ServiceUpdate | None:
        """How the update to this very version of the service gets on; None where none has begun."""
        entry = self.updates.get(service.value.id)
        return entry.value if entry is not None and entry.value.service_version == service.version else None


Value = Cluster | Node | NodeLiveness | Service | ServiceUpdate | Config | Task


_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True)
class Put:
    kind: Kind
    id: str
    value: Value

    @cached_property
    def encoded(self) -> bytes:
        """The value as it is stored. Made once: whoever has asked for its size has it already made."""
        return _ENCODER.encode(self.value)


@dataclass(frozen=True)
class Delete:
    kind: Kind
    id: str


Change = Put | Delete


@dataclass(frozen=True)
class Unchanged:
    """The entry still has this version; 0 is: there is none."""

    kind: Kind
    id: str
    version: int


class Store(Protocol):
    def snapshot(self) -> Snapshot:
        """The newest that the mirror has; it may be behind by what the watch has not brought yet."""

    async def fresh(self) -> Snapshot:
        """A snapshot that holds every write which was acknowledged anywhere before this call.

        :raises swarmd.errors.NoLeader: the quorum did not answer in time.
        """

    async def changed(self, since: int) -> Snapshot:
        """Wait for a snapshot newer than revision ``since``. Changes may come together; the newest counts."""

    async def commit(
        self, changes: Sequence[Change], *, guards: Sequence[Unchanged] = (), epoch: int | None = None
    ) -> int:
        """Write all changes or none. Safe at any failure: an attempt that may have succeeded is not made twice.

        A service's name belongs to one service, a config's to one config; claiming and giving it up go with Put and
        Delete.

        :param epoch: the leader's; absent for writes of users, which any manager makes.
        :returns: the revision; the mirror has it when this returns.
        :raises swarmd.errors.Lost: a guard failed.
        :raises swarmd.errors.AlreadyExists: the name belongs to another.
        :raises swarmd.errors.Deposed: ``epoch`` is not the leader's any more.
        :raises swarmd.errors.NoLeader: the quorum did not answer in time: whether it was written is unknown.
        """
