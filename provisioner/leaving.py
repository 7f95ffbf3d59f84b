"""The way back for machines that were handed over: out of the swarm, and what was put on them taken away.

Machines of other providers go as a whole, and nothing on them has to be taken away first.
"""

from __future__ import annotations

from provisioner import playbooks
from provisioner.errors import LabUnhealthy, ProvisionError
from provisioner.machines.inventory import given
from provisioner.progress import Progress
from provisioner.state import LabFolder

PLAYBOOK = "leave.yml"


def leave(lab: LabFolder, progress: Progress, *, force: bool) -> None:
    """Have every machine leave the swarm and be as before; nothing for labs of other providers. May be repeated.

    Works without the lab's record: each machine bears its own.

    :param force: go on where a machine cannot be reached or cleared, and leave there what is there.
    :raises LabUnhealthy: some were not cleared; the lab is kept, so that it can be tried again.
    """
    names = given.touched(lab)
    if not names or not lab.inventory.exists():  # it is written before anything is done to a machine
        return
    try:
        playbooks.run(
            lab, PLAYBOOK, progress=progress, inventory=lab.inventory, limit=",".join(names),
            extra_vars={"record_force": force}, log=lab.new_log("leave"),
        )  # fmt: skip
    except ProvisionError as error:
        if not force:
            raise LabUnhealthy(
                f"not every machine could be cleared, so lab {lab.name!r} is kept: {error.message}",
                hint=f"mend the cause and repeat: provision down --name {lab.name}. What is on machines that will not "
                f"come back is left there by: provision down --force --name {lab.name}",
                log=error.log,
            ) from error
        progress.warn(f"left as it is: {error.message}")
