"""Taking a lab's virtual machines away, by its description alone: every machine's name carries the lab's id."""

from __future__ import annotations

from pydantic import ValidationError

from provisioner.errors import ProvisionError
from provisioner.machines import ssh
from provisioner.machines.tunnel import Tunnel
from provisioner.machines.vagrant.client import VagrantClient
from provisioner.machines.vagrant.description import FILE, FOLDER, Description
from provisioner.state import LabFolder


def remove(lab: LabFolder) -> None:
    """Destroy the machines that Vagrant made for the lab; nothing where it made none. May be repeated.

    Those of an isolated lab run in its namespaces, and go with them.

    :raises ProvisionError: a machine is left that cannot be removed.
    """
    path = lab.path / FOLDER / FILE
    if not path.exists():
        return
    try:
        description = Description.model_validate_json(path.read_text())
    except ValidationError as error:
        raise ProvisionError(
            f"the description of lab {lab.name!r} is damaged, so its machines are not known: {path}",
            hint=f"take them away in the hypervisor, delete {path.parent}, then: provision down --name {lab.name}",
        ) from error
    names = [machine.name for machine in description.machines]
    for name in names:
        Tunnel(lab, name).close()
    if not description.prefix:  # a libvirt of the lab's own
        return
    ssh.hang_up(lab, names)
    VagrantClient(path.parent, description.hypervisor, new_log=lab.new_log).destroy(names)
