"""What a lab of handed-over machines has on this one: the ssh that forwards each machine's Docker socket."""

from __future__ import annotations

from provisioner.errors import ProvisionError
from provisioner.machines import ssh
from provisioner.machines.inventory import given
from provisioner.machines.tunnel import Tunnel
from provisioner.state import LabFolder


def remove(lab: LabFolder) -> None:
    """End the tunnels and the shared connections; nothing for labs of other providers. May be repeated.

    What is on the machines themselves is taken away before, by the playbook leave.yml.
    """
    if not given.is_of(lab):
        return
    try:
        names = list(given.kept(lab).hosts)
    except ProvisionError:  # damaged; the folders still tell the names
        names = [path.name for path in (lab.path / "hosts").glob("*")]
    for name in names:
        Tunnel(lab, name).close()
    ssh.hang_up(lab, names)
