"""What the engine answers, as far as it counts here."""

from __future__ import annotations

from datetime import datetime

import msgspec

from swarmd.engine.ports import Binding, bound_ports
from swarmd.model import PortConfig

LOST = 255
"""The exit code that dockerd notes for a container which it finds dead at its own start."""


class Health(msgspec.Struct, frozen=True, rename="pascal"):
    status: str = ""


class ContainerState(msgspec.Struct, frozen=True, rename="pascal"):
    status: str
    """created, running, paused, restarting, removing, exited, dead."""
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    health: Health | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class HealthCheck(msgspec.Struct, frozen=True, rename="pascal"):
    test: list[str] | None = None


class Config(msgspec.Struct, frozen=True, rename="pascal"):
    labels: dict[str, str] | None = None
    healthcheck: HealthCheck | None = None


class NetworkSettings(msgspec.Struct, frozen=True, rename="pascal"):
    ports: dict[str, list[Binding] | None] | None = None
    """By ``80/tcp``; null where a port is exposed and not bound."""


class Container(msgspec.Struct, frozen=True, rename="pascal"):
    """A container as ``GET /containers/{id}/json`` shows it."""

    id: str
    name: str
    state: ContainerState
    config: Config
    network_settings: NetworkSettings = NetworkSettings()

    @property
    def ports(self) -> list[PortConfig]:
        """What of the host's ports leads into it."""
        return bound_ports(self.network_settings.ports or {})

    @property
    def is_alive(self) -> bool:
        return self.state.status in {"running", "paused", "restarting"}

    @property
    def has_health_check(self) -> bool:
        """The service's or the image's; ``NONE`` switches the image's off."""
        check = self.config.healthcheck
        return bool(check and check.test and check.test[0] != "NONE")

    @property
    def health(self) -> str:
        """starting, healthy, unhealthy; empty without a health check."""
        return self.state.health.status if self.state.health and self.has_health_check else ""

    def ended_with_its_machine(self, booted: datetime) -> bool:
        """It ran until the power went: the engine found it dead when the machine was on again, and gave it 255."""
        state = self.state
        return (
            state.status == "exited"
            and state.exit_code == LOST
            and state.started_at is not None
            and state.finished_at is not None
            and state.started_at < booted <= state.finished_at
        )

    def label(self, name: str) -> str:
        return (self.config.labels or {}).get(name, "")


class Listed(msgspec.Struct, frozen=True):
    """A container as ``GET /containers/json`` shows it."""

    id: str
    labels: dict[str, str]
    state: str


class Actor(msgspec.Struct, frozen=True, rename="pascal"):
    id: str = msgspec.field(default="", name="ID")
    attributes: dict[str, str] = {}


class Event(msgspec.Struct, frozen=True, rename="pascal"):
    action: str = ""
    actor: Actor = Actor()


class Progress(msgspec.Struct, frozen=True):
    """One line of a pull; the status of its answer tells only that it has begun."""

    error: str = ""
