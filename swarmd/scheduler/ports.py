"""Ports of hosts that tasks publish themselves. A port that the engine is to choose is in nobody's way."""

from __future__ import annotations

from swarmd.model import PortConfigProtocol, PortConfigPublishMode, Task

HostPort = tuple[PortConfigProtocol, int]

_NONE: frozenset[HostPort] = frozenset()


def host_ports(task: Task) -> frozenset[HostPort]:
    if task.endpoint is None or not task.endpoint.ports:
        return _NONE
    return frozenset(
        (port.protocol, port.published_port)
        for port in task.endpoint.ports
        if port.publish_mode is PortConfigPublishMode.HOST and port.published_port
    )
