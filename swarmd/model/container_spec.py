"""What a service asks of its containers: ``ContainerSpec`` of Docker's API v1.45 and what it is made of.

Enumerations are named as Docker's refusals name them (``invalid MountType: "x"``); the first word of each is what
holds where none was sent.
"""

from __future__ import annotations

import enum

from swarmd.model.base import Spec


class MountType(enum.StrEnum):
    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"
    NPIPE = "npipe"
    """Windows."""
    CLUSTER = "cluster"
    """A CSI volume."""


class MountPropagation(enum.StrEnum):
    RPRIVATE = "rprivate"
    PRIVATE = "private"
    RSHARED = "rshared"
    SHARED = "shared"
    RSLAVE = "rslave"
    SLAVE = "slave"


class BindOptions(Spec, frozen=True):
    propagation: MountPropagation = MountPropagation.RPRIVATE
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class VolumeDriver(Spec, frozen=True):
    name: str = ""
    options: dict[str, str] = {}


class VolumeOptions(Spec, frozen=True):
    no_copy: bool = False
    labels: dict[str, str] = {}
    subpath: str = ""
    driver_config: VolumeDriver | None = None


class TmpfsOptions(Spec, frozen=True):
    size_bytes: int = 0
    mode: int = 0
    """Permission bits; 0 is the engine's 1777."""


class Mount(Spec, frozen=True):
    type: MountType = MountType.BIND
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class HealthConfig(Spec, frozen=True):
    """Durations are nanoseconds; what is 0, or an empty test, is the image's."""

    test: list[str] = []
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class DNSConfig(Spec, frozen=True):
    nameservers: list[str] = []
    search: list[str] = []
    options: list[str] = []


class Ulimit(Spec, frozen=True):
    name: str = ""
    hard: int = 0
    soft: int = 0


class ContainerSpec(Spec, frozen=True):
    image: str = ""
    labels: dict[str, str] = {}
    command: list[str] = []
    """Becomes the container's entrypoint."""
    args: list[str] = []
    """Becomes the container's command."""
    hostname: str = ""
    env: list[str] = []
    dir: str = ""
    user: str = ""
    groups: list[str] = []
    tty: bool = False
    open_stdin: bool = False
    read_only: bool = False
    init: bool | None = None
    stop_signal: str = ""
    stop_grace_period: int | None = None
    """Nanoseconds; None is 10 s."""
    mounts: list[Mount] = []
    healthcheck: HealthConfig | None = None
    """None is the image's."""
    hosts: list[str] = []
    """Lines of a hosts file: ``address name [alias …]``."""
    dns_config: DNSConfig | None = None
    sysctls: dict[str, str] = {}
    capability_add: list[str] = []
    capability_drop: list[str] = []
    ulimits: list[Ulimit] = []
