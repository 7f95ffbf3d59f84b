"""What a node says of itself, from the engine's ``GET /info``. Pure.

Source: moby/moby ``daemon/cluster/executor/container/executor.go``, ``Describe``.
"""

from __future__ import annotations

import msgspec

from swarmd.model import (
    EngineDescription,
    EnginePlugin,
    GenericResource,
    NodeDescription,
    Platform,
    Resources,
    TLSInfo,
)

CPU = 1_000_000_000


class Plugins(msgspec.Struct, frozen=True, rename="pascal"):
    volume: list[str] | None = None
    network: list[str] | None = None
    authorization: list[str] | None = None
    log: list[str] | None = None


class Info(msgspec.Struct, frozen=True, rename="pascal"):
    """The part of the engine's answer that counts here."""

    name: str = ""
    architecture: str = ""
    os_type: str = msgspec.field(default="", name="OSType")
    n_cpu: int = msgspec.field(default=0, name="NCPU")
    mem_total: int = 0
    server_version: str = ""
    labels: list[str] | None = None
    plugins: Plugins = Plugins()
    generic_resources: list[GenericResource] | None = None
    swarm: dict[str, object] | None = None


def node_description(info: Info, tls_info: TLSInfo) -> NodeDescription:
    plugins = {
        ("Volume", name) for name in info.plugins.volume or []
    } | {
        ("Network", name) for name in ["overlay", *(info.plugins.network or [])]
    } | {
        ("Authorization", name) for name in info.plugins.authorization or []
    } | {
        ("Log", name) for name in info.plugins.log or []
    }  # fmt: skip
    labels = dict(label.split("=", 1) for label in info.labels or [] if "=" in label)
    return NodeDescription(
        hostname=info.name,
        platform=Platform(architecture=info.architecture, os=info.os_type),
        resources=Resources(
            nano_cpus=info.n_cpu * CPU,
            memory_bytes=info.mem_total,
            generic_resources=info.generic_resources or [],
        ),
        engine=EngineDescription(
            engine_version=info.server_version,
            labels=labels,
            plugins=[EnginePlugin(type=kind, name=name) for kind, name in sorted(plugins)],
        ),
        tls_info=tls_info,
    )
