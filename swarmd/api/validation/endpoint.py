"""What is refused in a service's endpoint: the part that needs no other service to be seen."""

from __future__ import annotations

from swarmd.errors import InvalidArgument
from swarmd.model import EndpointSpec, PortConfigPublishMode


def check_endpoint(endpoint: EndpointSpec | None) -> None:
    """
    :raises InvalidArgument: its ports contradict its mode, or one another.
    """
    if endpoint is None:
        return
    published: set[tuple[int, str]] = set()
    for port in endpoint.ports:
        if endpoint.mode == "dnsrr" and port.publish_mode is PortConfigPublishMode.INGRESS:
            raise InvalidArgument("EndpointSpec: port published with ingress mode can't be used with dnsrr mode")
        if not port.published_port:
            continue
        if (port.published_port, port.protocol) in published:
            raise InvalidArgument("EndpointSpec: duplicate published ports provided")
        published.add((port.published_port, port.protocol))
