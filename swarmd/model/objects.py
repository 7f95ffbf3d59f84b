"""What a cluster is made of, as the store keeps it. Each attribute has one writer, named here.

The API's ``Version.Index`` of an object is the revision of the store's entry; ``UpdatedAt`` is kept with it.
"""

from __future__ import annotations

import enum
from datetime import datetime

import msgspec

from swarmd.model.naming import docker_name
from swarmd.model.specs import EndpointSpec, GenericResource, Platform, PortConfig, ServiceSpec, TaskSpec
from swarmd.model.states import TaskState
from swarmd.model.swarm_spec import ConfigSpec, NodeSpec, SwarmSpec


class NodeRole(enum.StrEnum):
    """The role that a node has: its certificate's."""

    WORKER = "worker"
    MANAGER = "manager"


class NodeState(enum.StrEnum):
    UNKNOWN = "unknown"
    DOWN = "down"
    READY = "ready"
    DISCONNECTED = "disconnected"


class Object(msgspec.Struct, frozen=True, rename=docker_name, omit_defaults=True, gc=False):
    """Common to all stored objects. As with Spec, the garbage collector need not look at them."""


class Resources(Object, frozen=True):
    nano_cpus: int = msgspec.field(default=0, name="NanoCPUs")
    memory_bytes: int = 0
    generic_resources: list[GenericResource] = []
    """As the engine's ``node-generic-resources`` say."""


class EnginePlugin(Object, frozen=True):
    type: str
    name: str


class EngineDescription(Object, frozen=True):
    engine_version: str = ""
    labels: dict[str, str] = {}
    plugins: list[EnginePlugin] = []


class TLSInfo(Object, frozen=True):
    trust_root: str = ""
    """PEM."""
    cert_issuer_subject: str = ""
    """Base 64 of the DER, as cert_issuer_public_key."""
    cert_issuer_public_key: str = ""


class NodeDescription(Object, frozen=True):
    """What a node says of itself when its session opens, and again when it has changed."""

    hostname: str = ""
    platform: Platform = Platform()
    resources: Resources = Resources()
    engine: EngineDescription = EngineDescription()
    tls_info: TLSInfo = msgspec.field(default=TLSInfo(), name="TLSInfo")


class ManagerMember(Object, frozen=True):
    """A manager's part in the quorum; written when it joins and when it leaves."""

    address: str
    """Where other nodes reach its cluster port: ``192.168.56.10:2377``."""
    peer_url: str
    """Where other managers' etcd reach its etcd: ``https://192.168.56.10:2380``."""
    member_id: int
    """etcd's; unsigned, 64 bits."""


class Node(Object, frozen=True):
    """A member of the cluster. Written by users (spec), the leader (role), at joining and leaving; not by sessions."""

    id: str
    spec: NodeSpec
    role: NodeRole
    created_at: datetime
    updated_at: datetime
    manager: ManagerMember | None = None


class NodeLiveness(Object, frozen=True):
    """What the leader sees of a node; kept apart from Node, so that it never spoils a user's update."""

    state: NodeState
    message: str = ""
    address: str = ""
    """Without a port, as the API's ``Status.Addr``."""
    description: NodeDescription = NodeDescription()
    since: datetime | None = None
    """When the state became this one."""


class ContainerStatus(Object, frozen=True):
    container_id: str = ""
    pid: int = 0
    exit_code: int = 0


class TaskStatus(Object, frozen=True):
    """Written by the agent, through the dispatcher; until the task is assigned, by the leader."""

    timestamp: datetime
    state: TaskState
    message: str = ""
    err: str = ""
    container: ContainerStatus | None = None
    ports: list[PortConfig] = []
    """Host ports as the engine has bound them: the API's PortStatus."""


class Task(Object, frozen=True):
    """One run of one slot of a service, or of a global service on one node. Spec, slot and endpoint never change."""

    id: str
    service_id: str
    service_name: str
    slot: int
    """0 for tasks of global services, whose node is what a slot is to others."""
    spec: TaskSpec
    spec_version: int
    """Revision of the service's spec that made it; a task with another one than its service's is out of date."""
    created_at: datetime
    updated_at: datetime
    desired_state: TaskState
    """Written by orchestrators."""
    status: TaskStatus
    node_id: str = ""
    """Written by the scheduler, once; for a global service by the orchestrator, with the task."""
    run_at: datetime | None = None
    """When desired Ready becomes desired Running: a restart's delay, as data, so that a new leader goes on with it."""
    waits_for: str = ""
    """The task that this one replaces and whose end it awaits, for a minute at most."""
    service_labels: dict[str, str] = {}
    endpoint: EndpointSpec | None = None
    """The service's at the task's creation: its node and the scheduler see the ports here."""
    assigned_generic_resources: list[GenericResource] = []
    """Which of the node's it has; written by the scheduler, with the node."""
    ran_at: datetime | None = None
    """When the leader stored that it runs, by the leader's clock; written by the dispatcher, once."""


class Service(Object, frozen=True):
    """Written by users. ``spec_version`` rises with what makes its tasks out of date, not with labels or replicas."""

    id: str
    spec: ServiceSpec
    spec_version: int
    created_at: datetime
    updated_at: datetime
    previous_spec: ServiceSpec | None = None
    registry_auth: str = ""
    """The registry's credentials that came with the spec, sealed (``Membership.seal``); never shown."""
    previous_registry_auth: str = ""
    """Those of the previous spec."""


class UpdateState(enum.StrEnum):
    UPDATING = "updating"
    PAUSED = "paused"
    COMPLETED = "completed"


class ServiceUpdate(Object, frozen=True):
    """How the rolling update of a service gets on; written by the orchestrator, under the service's id.

    Kept apart from Service, so that it never spoils a user's update. It counts as long as the service has the version
    that it names: each update by a user begins without one.
    """

    service_id: str
    service_version: int
    """``Entry.version`` of the service that is being rolled out."""
    state: UpdateState
    started_at: datetime
    completed_at: datetime | None = None
    message: str = ""


class Config(Object, frozen=True):
    """Written by users; the data never change."""

    id: str
    spec: ConfigSpec
    created_at: datetime
    updated_at: datetime


class Cluster(Object, frozen=True):
    """The one cluster. Written by users (spec, tokens) and by the CA."""

    id: str
    spec: SwarmSpec
    created_at: datetime
    updated_at: datetime
    ca_certificate: str
    """PEM of the root that all nodes trust. Its key is on every manager's disk, and nowhere here."""
    worker_token: str
    manager_token: str
    default_addr_pool: list[str] = msgspec.field(default_factory=lambda: ["10.0.0.0/8"])
    subnet_size: int = 24
    data_path_port: int = 4789
    barred: dict[str, datetime] = {}
    """Removed nodes, and since when: their etcd's certificates are on every manager's revocation list."""
