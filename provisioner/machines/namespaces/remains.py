"""Ending all that runs of a lab in its namespaces, whatever state it is in: also when its record is damaged or
`provision` was killed half-way.

Every process of a lab is in a cgroup that carries its name and id, and `id` is a file of its own, written before
anything else. With the last process the namespaces go, and with them every link, rule and mount.
"""

from __future__ import annotations

import contextlib
import re

from provisioner.errors import ProvisionError
from provisioner.machines import ssh
from provisioner.machines.namespaces.cgroup import LabCgroup, mounted_hierarchies
from provisioner.state import LabFolder

_ID = re.compile(r"[0-9a-f]{8}")


def remove(lab: LabFolder) -> None:
    """End the lab's processes and remove its cgroup. May be repeated.

    :raises ProvisionError: something is left that cannot be removed.
    """
    _hang_up(lab)
    identity = lab.identity.read_text().strip() if lab.identity.exists() else ""
    if _ID.fullmatch(identity):
        cgroup = LabCgroup(f"{lab.name}.{identity}")
        cgroup.leave()
        cgroup.kill()
        cgroup.remove()
        if left := _cgroups_left(cgroup.path):
            raise ProvisionError(f"cgroups of lab {lab.name!r} are left: {', '.join(left)}", hint="repeat the command")


def _hang_up(lab: LabFolder) -> None:
    """End the connections that `provision ssh` left open for the next one: they are in the cgroup of whoever ran it,
    and the program that each goes through holds the lab's network namespace for up to 60 s more."""
    control = ssh.control_folder(lab)
    with contextlib.suppress(ProvisionError):
        ssh.hang_up(lab, [socket.name for socket in control.iterdir()] if control.is_dir() else [])


def _cgroups_left(path: str) -> list[str]:
    v1, v2 = mounted_hierarchies()
    return [str(hierarchy / path) for hierarchy in (*v1, *v2) if (hierarchy / path).exists()]
