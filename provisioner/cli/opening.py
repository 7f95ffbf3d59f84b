"""From a lab's name to what works on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from provisioner import state
from provisioner.errors import LabUnhealthy
from provisioner.machines import Machine, Provider
from provisioner.machines.select import provider as provider_of
from provisioner.state import LabFolder, Record


@dataclass(frozen=True)
class OpenLab:
    folder: LabFolder
    record: Record
    provider: Provider

    def running(self) -> list[Machine]:
        """:raises LabUnhealthy: no host is running."""
        machines = [machine for machine in self.provider.machines() if machine.state == "running"]
        if not machines:
            raise LabUnhealthy(
                f"no host of lab {self.folder.name!r} is running", hint=f"provision start --name {self.folder.name}"
            )
        return machines


def find(name: str) -> OpenLab:
    """:raises LabNotFound: there is no such lab."""
    lab = state.folder(name)
    record = state.load(lab)
    return OpenLab(lab, record, provider_of(lab, record))


@contextlib.contextmanager
def working_on(name: str, verb: str) -> Iterator[OpenLab]:
    """A lab that no other verb changes meanwhile.

    :raises LabBusy: one does.
    """
    opened = find(name)
    with state.locked(opened.folder, verb), opened.provider.working():
        yield opened
