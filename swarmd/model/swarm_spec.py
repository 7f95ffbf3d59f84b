"""What users ask of the cluster, of a node, and of a config: specs of Docker's API v1.45."""

from __future__ import annotations

import enum

import msgspec

from swarmd.model.base import Spec
from swarmd.model.specs import SECOND


class Availability(enum.StrEnum):
    ACTIVE = "active"
    PAUSE = "pause"
    DRAIN = "drain"


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
