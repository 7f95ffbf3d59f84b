"""Ports, and how a service is reached."""

from __future__ import annotations

from collections.abc import Sequence

from swarmd.api.rendering.common import Json, without_empty
from swarmd.model import EndpointSpec, PortConfig


def endpoint(spec: EndpointSpec | None) -> Json:
    """Without ports Docker's is empty, whatever the mode."""
    if spec is None or not spec.ports:
        return {"Spec": {}}
    return {"Spec": endpoint_spec(spec), "Ports": ports(spec.ports)}


def endpoint_spec(spec: EndpointSpec) -> Json:
    return {"Mode": spec.mode or "vip"} | without_empty(Ports=ports(spec.ports))


def ports(values: Sequence[PortConfig]) -> list[Json]:
    return [
        without_empty(
            Name=port.name,
            Protocol=port.protocol.value,
            TargetPort=port.target_port,
            PublishedPort=port.published_port,
            PublishMode=port.publish_mode.value,
        )
        for port in values
    ]
