"""What is refused in the cluster's spec, and in the requests that form and enter a cluster."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from swarmd.errors import BadRequest, InvalidArgument
from swarmd.model import SwarmSpec

CLUSTER_PORT = 2377
_SHORTEST_CERTIFICATE = 3600 * 1_000_000_000


def check_swarm(spec: SwarmSpec) -> None:
    """
    :raises InvalidArgument: a value is not allowed.
    """
    if spec.ca_config.node_cert_expiry < _SHORTEST_CERTIFICATE:
        raise InvalidArgument("minimum certificate expiry time is: 1h0m0s")
    if spec.dispatcher.heartbeat_period < 0:
        raise InvalidArgument("heartbeat time period cannot be a negative duration")


def check_address_pool(pools: Iterable[str], subnet_size: int) -> None:
    """
    :raises BadRequest: a pool is no IPv4 network, is smaller than one subnet, or overlaps another.
    """
    size = subnet_size or 24
    if size > 29:
        raise BadRequest(f"subnet size is out of range: {size}")
    seen: list[ipaddress.IPv4Network] = []
    for pool in pools:
        try:
            network = ipaddress.IPv4Network(pool, strict=False)
        except ValueError:
            raise BadRequest(f"invalid base pool {pool}: invalid CIDR address: {pool}") from None
        if size < network.prefixlen:
            raise BadRequest(f"invalid CIDR: {pool}. Subnet size is too small for pool: {size}")
        if any(network.overlaps(other) for other in seen):
            raise BadRequest(f"invalid base pool {pool}: it overlaps another one")
        seen.append(network)


def check_data_path_port(port: int) -> None:
    """
    :raises BadRequest: it is neither 0 (the default) nor between 1024 and 49151.
    """
    if port != 0 and not 1024 <= port <= 49151:
        raise BadRequest(f"Datapath port number is not in valid range (1024-49151) : {port}")


def with_port(address: str, name: str) -> str:
    """host:port of an address that may lack the port.

    :param name: the field's, for the refusal.
    :raises BadRequest: it is empty.
    """
    if not address:
        raise BadRequest(f'invalid {name} "": invalid empty address')
    address = address.removeprefix("tcp://")
    if address.startswith("["):
        return address if "]:" in address else f"{address}:{CLUSTER_PORT}"
    if address.count(":") > 1:
        return f"[{address}]:{CLUSTER_PORT}"
    return address if ":" in address else f"{address}:{CLUSTER_PORT}"
