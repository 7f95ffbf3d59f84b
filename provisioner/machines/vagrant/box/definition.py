"""What decides a box, and the key and folder that follow from it. Nothing here runs a program."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from provisioner.lab import DEFAULT_BASE, Base
from provisioner.machines import debian
from provisioner.state import home

Format = Literal["libvirt", "lxc", "virtualbox"]
FORMATS: tuple[Format, ...] = ("libvirt", "lxc", "virtualbox")

# Every file of a box bears this time: the day Debian 13 was released. One later would have to change with each build.
TIME = 1754697600
DISK_BYTES = 10 << 30

ARCHITECTURE = "amd64"
KERNEL_PACKAGE = f"linux-image-cloud-{ARCHITECTURE}"
# busybox is what the initrd is made of; udev, because a virtual machine has devices of its own; timesyncd, because it
# has a clock of its own, which the base role keeps.
PACKAGES = (
    *debian.PACKAGES, "busybox-static", "e2fsprogs", "libnss-myhostname", "sudo", "systemd-timesyncd", "udev",
)  # fmt: skip
# Without it only root may ping (net.ipv4.ping_group_range). Debian 12 has it in systemd.
_OF_BASE: dict[Base, tuple[str, ...]] = {"trixie": ("linux-sysctl-defaults",), "bookworm": ()}

DEBIAN_VERSION: dict[Base, int] = {"bookworm": 12, "trixie": 13}

_HERE = Path(__file__).parent
_SOURCES = ("*.py", "*.sh", "*.pub", "*.ovf", "Vagrantfile.*", "init", "lease", "lxc-config")


@dataclass(frozen=True)
class Definition:
    """A root that boxes of every format are made of."""

    base: Base = DEFAULT_BASE
    docker: bool = True

    @property
    def packages(self) -> tuple[str, ...]:
        docker = debian.DOCKER_PACKAGES[self.base] if self.docker else ()
        return (*PACKAGES, *_OF_BASE[self.base], *docker)

    @functools.cached_property
    def key(self) -> str:
        """Equal keys, equal boxes, up to Debian's own updates: those are told by the digests in box.json."""
        digest = hashlib.sha256()
        for path in sorted(path for pattern in _SOURCES for path in _HERE.glob(pattern)):
            digest.update(f"{path.name}\0{path.read_text()}\0".encode())
        inputs = (self.base, self.docker, ARCHITECTURE, self.packages, debian.EXCLUDED, mirror())
        digest.update(json.dumps(inputs).encode())
        return digest.hexdigest()[:12]

    @property
    def name(self) -> str:
        """Without the key: ``trixie``, ``trixie-plain``."""
        return self.base if self.docker else f"{self.base}-plain"

    @property
    def label(self) -> str:
        """The content of /etc/provision-box."""
        return json.dumps({"key": self.key, "base": self.base, "docker": self.docker})

    @property
    def folder(self) -> Path:
        return boxes_folder() / f"{self.name}-{self.key}"


def mirror() -> str:
    """Where packages come from; empty for Debian's own servers."""
    return os.environ.get(debian.MIRROR_VARIABLE, "")


def boxes_folder() -> Path:
    return home() / "cache" / "boxes"
