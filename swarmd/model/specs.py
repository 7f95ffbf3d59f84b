"""What users ask of a service: its spec in Docker's API v1.45, as far as this daemon knows it.

A field that is here is stored and shown; whether it is acted on yet, ``swarmd.api.not_yet`` says.

Durations are whole nanoseconds, sizes bytes, as in the API. ``None`` means that the user gave nothing and Docker's
default holds; the defaults stand where they are applied.
"""

from __future__ import annotations

import enum

import msgspec

from swarmd.model.base import Spec
from swarmd.model.container_spec import ContainerSpec

SECOND = 1_000_000_000


class RestartCondition(enum.StrEnum):
    NONE = "none"
    ON_FAILURE = "on-failure"
    ANY = "any"


class RestartPolicy(Spec, frozen=True):
    condition: RestartCondition = RestartCondition.ANY
    delay: int | None = None
    """Nanoseconds; None is 5 s."""
    max_attempts: int = 0
    """0 is without limit."""
    window: int = 0
    """Nanoseconds in which attempts count; 0 is for ever."""


class NamedGeneric(Spec, frozen=True):
    """One thing that a node has, such as a GPU, by its name."""

    kind: str = ""
    value: str = ""


class DiscreteGeneric(Spec, frozen=True):
    """So many of a kind."""

    kind: str = ""
    value: int = 0


class GenericResource(Spec, frozen=True):
    """One of the two."""

    named_resource_spec: NamedGeneric | None = None
    discrete_resource_spec: DiscreteGeneric | None = None


class ResourceObject(Spec, frozen=True):
    nano_cpus: int = msgspec.field(default=0, name="NanoCPUs")
    memory_bytes: int = 0
    pids: int = 0
    """Of limits alone."""
    generic_resources: list[GenericResource] = []
    """Of reservations alone."""


class ResourceRequirements(Spec, frozen=True):
    limits: ResourceObject | None = None
    reservations: ResourceObject | None = None


class Platform(Spec, frozen=True):
    """Architecture as the engine says it (x86_64), or as images do (amd64)."""

    architecture: str = ""
    os: str = ""


class SpreadOver(Spec, frozen=True):
    spread_descriptor: str = ""
    """A node's or an engine's label: ``node.labels.zone``."""


class PlacementPreference(Spec, frozen=True):
    spread: SpreadOver | None = None


class Placement(Spec, frozen=True):
    constraints: list[str] = []
    max_replicas: int = 0
    platforms: list[Platform] = []
    preferences: list[PlacementPreference] = []


class Driver(Spec, frozen=True):
    name: str = ""
    options: dict[str, str] = {}


class TaskSpec(Spec, frozen=True):
    container_spec: ContainerSpec = ContainerSpec()
    resources: ResourceRequirements | None = None
    restart_policy: RestartPolicy | None = None
    placement: Placement | None = None
    force_update: int = 0
    runtime: str = ""
    log_driver: Driver | None = None
    """None is the engine's."""


class ReplicatedMode(Spec, frozen=True):
    replicas: int | None = None
    """None is 1."""


class GlobalMode(Spec, frozen=True):
    pass


class ServiceMode(Spec, frozen=True):
    """One of the two; replicated if there is neither."""

    replicated: ReplicatedMode | None = None
    global_mode: GlobalMode | None = msgspec.field(default=None, name="Global")


class UpdateConfig(Spec, frozen=True, omit_defaults=False):
    parallelism: int = 1
    delay: int = 0
    failure_action: str = "pause"
    monitor: int = 5 * SECOND
    max_failure_ratio: float = 0
    order: str = "stop-first"


class PortConfigProtocol(enum.StrEnum):
    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"


class PortConfigPublishMode(enum.StrEnum):
    INGRESS = "ingress"
    HOST = "host"


class PortConfig(Spec, frozen=True):
    name: str = ""
    protocol: PortConfigProtocol = PortConfigProtocol.TCP
    target_port: int = 0
    published_port: int = 0
    """0 is any that is free."""
    publish_mode: PortConfigPublishMode = PortConfigPublishMode.INGRESS


class EndpointSpec(Spec, frozen=True):
    mode: str = ""
    ports: list[PortConfig] = []


class ServiceSpec(Spec, frozen=True):
    name: str = ""
    labels: dict[str, str] = {}
    task_template: TaskSpec = TaskSpec()
    mode: ServiceMode = ServiceMode()
    update_config: UpdateConfig | None = None
    rollback_config: UpdateConfig | None = None
    endpoint_spec: EndpointSpec | None = None

    @property
    def is_global(self) -> bool:
        """One task on each node that fits, instead of a number of replicas."""
        return self.mode.global_mode is not None

    @property
    def replicas(self) -> int:
        """Of a replicated service."""
        replicated = self.mode.replicated
        return 1 if replicated is None or replicated.replicas is None else replicated.replicas
