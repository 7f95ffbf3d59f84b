"""What users ask for: the specs of Docker's API v1.45, as far as this daemon acts on them.

Durations are whole nanoseconds, sizes bytes, as in the API. ``None`` means that the user gave nothing and Docker's
default holds; the defaults stand where they are applied.
"""

from __future__ import annotations

import enum

import msgspec

from swarmd.model.naming import docker_name

SECOND = 1_000_000_000


class Availability(enum.StrEnum):
    ACTIVE = "active"
    PAUSE = "pause"
    DRAIN = "drain"


class RestartCondition(enum.StrEnum):
    NONE = "none"
    ON_FAILURE = "on-failure"
    ANY = "any"


class Spec(msgspec.Struct, frozen=True, rename=docker_name, omit_defaults=True):
    """Common to all specs: immutable, and written as Docker writes them."""


class RestartPolicy(Spec, frozen=True):
    condition: RestartCondition = RestartCondition.ANY
    delay: int | None = None
    """Nanoseconds; None is 5 s."""
    max_attempts: int = 0
    """0 is without limit."""
    window: int = 0
    """Nanoseconds in which attempts count; 0 is for ever."""


class ContainerSpec(Spec, frozen=True):
    image: str = ""
    labels: dict[str, str] = {}
    command: list[str] = []
    """Becomes the container's entrypoint."""
    args: list[str] = []
    """Becomes the container's command."""
    hostname: str = ""
    env: list[str] = []
    dir: str = ""
    user: str = ""
    groups: list[str] = []
    tty: bool = False
    open_stdin: bool = False
    read_only: bool = False
    init: bool | None = None
    stop_signal: str = ""
    stop_grace_period: int | None = None
    """Nanoseconds; None is 10 s."""


class ResourceObject(Spec, frozen=True):
    nano_cpus: int = msgspec.field(default=0, name="NanoCPUs")
    memory_bytes: int = 0
    pids: int = 0


class ResourceRequirements(Spec, frozen=True):
    limits: ResourceObject | None = None
    reservations: ResourceObject | None = None


class Platform(Spec, frozen=True):
    """Architecture as the engine says it (x86_64), or as images do (amd64)."""

    architecture: str = ""
    os: str = ""


class Placement(Spec, frozen=True):
    constraints: list[str] = []
    max_replicas: int = 0
    platforms: list[Platform] = []


class TaskSpec(Spec, frozen=True):
    container_spec: ContainerSpec = ContainerSpec()
    resources: ResourceRequirements | None = None
    restart_policy: RestartPolicy | None = None
    placement: Placement | None = None
    force_update: int = 0
    runtime: str = ""


class ReplicatedMode(Spec, frozen=True):
    replicas: int | None = None
    """None is 1."""


class ServiceMode(Spec, frozen=True):
    replicated: ReplicatedMode | None = None


class UpdateConfig(Spec, frozen=True, omit_defaults=False):
    parallelism: int = 1
    delay: int = 0
    failure_action: str = "pause"
    monitor: int = 5 * SECOND
    max_failure_ratio: float = 0
    order: str = "stop-first"


class EndpointSpec(Spec, frozen=True):
    mode: str = ""


class ServiceSpec(Spec, frozen=True):
    name: str = ""
    labels: dict[str, str] = {}
    task_template: TaskSpec = TaskSpec()
    mode: ServiceMode = ServiceMode()
    update_config: UpdateConfig | None = None
    rollback_config: UpdateConfig | None = None
    endpoint_spec: EndpointSpec | None = None

    @property
    def replicas(self) -> int:
        replicated = self.mode.replicated
        return 1 if replicated is None or replicated.replicas is None else replicated.replicas


class NodeSpec(Spec, frozen=True, omit_defaults=False):
    name: str = ""
    labels: dict[str, str] = {}
    role: str = "worker"
    """The role that is wanted; see NodeRole for the one that a node has."""
    availability: Availability = Availability.ACTIVE


class OrchestrationConfig(Spec, frozen=True, omit_defaults=False):
    task_history_retention_limit: int = 5


class RaftConfig(Spec, frozen=True, omit_defaults=False):
    """Stored and shown; etcd takes its own snapshots and keeps its own time."""

    snapshot_interval: int = 10_000
    keep_old_snapshots: int = 0
    log_entries_for_slow_followers: int = 500
    election_tick: int = 10
    heartbeat_tick: int = 1


class DispatcherConfig(Spec, frozen=True, omit_defaults=False):
    heartbeat_period: int = 5 * SECOND


class CAConfig(Spec, frozen=True, omit_defaults=False):
    node_cert_expiry: int = 2160 * 3600 * SECOND


class EncryptionConfig(Spec, frozen=True, omit_defaults=False):
    auto_lock_managers: bool = False


class TaskDefaults(Spec, frozen=True):
    pass


class SwarmSpec(Spec, frozen=True, omit_defaults=False):
    name: str = "default"
    labels: dict[str, str] = {}
    orchestration: OrchestrationConfig = OrchestrationConfig()
    raft: RaftConfig = RaftConfig()
    dispatcher: DispatcherConfig = DispatcherConfig()
    ca_config: CAConfig = msgspec.field(default=CAConfig(), name="CAConfig")
    task_defaults: TaskDefaults = TaskDefaults()
    encryption_config: EncryptionConfig = EncryptionConfig()


class ConfigSpec(Spec, frozen=True):
    name: str = ""
    labels: dict[str, str] = {}
    data: str = ""
    """Base 64, as in the API."""
