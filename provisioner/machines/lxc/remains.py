"""Taking a lab away, whatever state it is in: also when its record is damaged or `provision` was killed half-way.

Everything of a lab carries its name and id, and `id` is a file of its own, written before anything else.
"""

from __future__ import annotations

import re

from provisioner import command
from provisioner.errors import ProvisionError
from provisioner.machines.lxc.cgroup import LabCgroup, mounted_hierarchies
from provisioner.state import LabFolder

_ID = re.compile(r"[0-9a-f]{8}")


def remove(lab: LabFolder) -> None:
    """End the lab's processes, with which its namespaces go, and delete its folder. May be repeated.

    :raises ProvisionError: something is left that cannot be removed.
    """
    identity = lab.identity.read_text().strip() if lab.identity.exists() else ""
    if _ID.fullmatch(identity):
        cgroup = LabCgroup(f"{lab.name}.{identity}")
        cgroup.leave()
        cgroup.kill()
        cgroup.remove()
        if left := _cgroups_left(cgroup.path):
            raise ProvisionError(f"cgroups of lab {lab.name!r} are left: {', '.join(left)}", hint="repeat the command")
    # The folder is a mount point in no namespace but the lab's, which is gone; --one-file-system makes sure.
    command.run(["rm", "-rf", "--one-file-system", lab.path], timeout=300)


def _cgroups_left(path: str) -> list[str]:
    v1, v2 = mounted_hierarchies()
    return [str(hierarchy / path) for hierarchy in (*v1, *v2) if (hierarchy / path).exists()]
