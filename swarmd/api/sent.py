"""Bodies of requests that are not specs of the model."""

from __future__ import annotations

import msgspec

from swarmd.model import SwarmSpec
from swarmd.model.naming import docker_name


class NodeSpecSent(msgspec.Struct, rename=docker_name):
    """A node's spec before it is known to be complete: Docker has no defaults for it."""

    name: str = ""
    labels: dict[str, str] = {}
    role: str = ""
    availability: str = ""


class InitSent(msgspec.Struct, rename=docker_name):
    listen_addr: str = ""
    advertise_addr: str = ""
    data_path_addr: str = ""
    data_path_port: int = 0
    default_addr_pool: list[str] = []
    subnet_size: int = 0
    force_new_cluster: bool = False
    spec: SwarmSpec = SwarmSpec()
    availability: str = ""


class JoinSent(msgspec.Struct, rename=docker_name):
    listen_addr: str = ""
    advertise_addr: str = ""
    data_path_addr: str = ""
    remote_addrs: list[str] = []
    join_token: str = ""
    availability: str = ""
