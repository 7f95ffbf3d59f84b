"""Mounts as the engine is told them, and what is refused in them before it is asked. Pure.

Source: moby/moby ``daemon/cluster/executor/container/{validate,container}.go``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from swarmd.model import Mount, MountType


class BadMount(ValueError):
    """``str()`` says what is wrong, in Docker's words."""


def check(mounts: Iterable[Mount]) -> None:
    """As the user wrote them: before their placeholders are filled in, as on Docker.

    :raises BadMount: the first that no node could have.
    """
    for mount in mounts:
        if not _is_absolute(mount.target):
            raise BadMount(f"invalid mount target, must be an absolute path: {mount.target}")
        match mount.type:
            case MountType.BIND if not _is_absolute(mount.source):
                raise BadMount(f"invalid bind mount source, must be an absolute path: {mount.source}")
            case MountType.VOLUME if _is_absolute(mount.source):
                raise BadMount(f"invalid volume mount source, must not be an absolute path: {mount.source}")
            case MountType.TMPFS if mount.source:
                raise BadMount("invalid tmpfs source, source must be empty")


def engine_mount(mount: Mount) -> dict[str, Any]:
    """One of ``HostConfig.Mounts``, whose keys are those of a service's. Consistency means nothing on Linux."""
    told: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(mount, consistency=""))
    # The model leaves out what is its default; the engine has no default type.
    told["Type"] = mount.type.value
    if mount.bind_options is not None:
        told["BindOptions"]["Propagation"] = mount.bind_options.propagation.value
    return told


def _is_absolute(path: str) -> bool:
    return path.startswith("/")
