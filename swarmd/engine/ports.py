"""A service's host-mode ports as the engine is told them, and as it has bound them. Pure.

Ports in ingress mode are the routing mesh's: the engine never hears of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from swarmd.model import EndpointSpec, PortConfig, PortConfigProtocol, PortConfigPublishMode


class Binding(msgspec.Struct, frozen=True, rename="pascal"):
    """Where on the host a port is reached; an empty HostPort is any that is free."""

    host_port: str = ""


def port_bindings(endpoint: EndpointSpec | None) -> dict[str, list[dict[str, Any]]]:
    """``HostConfig.PortBindings``; its keys are what ``ExposedPorts`` must have too."""
    bindings: dict[str, list[dict[str, Any]]] = {}
    for port in endpoint.ports if endpoint else ():
        if port.publish_mode is PortConfigPublishMode.HOST:
            binding = {"HostPort": str(port.published_port)} if port.published_port else {}
            bindings.setdefault(f"{port.target_port}/{port.protocol.value}", []).append(binding)
    return bindings


def bound_ports(bound: Mapping[str, Iterable[Binding] | None]) -> list[PortConfig]:
    """``NetworkSettings.Ports`` as a task's status shows it: each once, where the engine binds IPv4 and IPv6."""
    found = {
        (int(port), PortConfigProtocol(protocol), int(binding.host_port))
        for (port, _, protocol), bindings in ((key.partition("/"), bindings) for key, bindings in bound.items())
        for binding in bindings or ()
        if binding.host_port
    }
    return [
        PortConfig(
            protocol=protocol, target_port=target, published_port=published, publish_mode=PortConfigPublishMode.HOST
        )
        for target, protocol, published in sorted(found)
    ]
