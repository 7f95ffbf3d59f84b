"""What every provider offers: machines that ssh reaches, made, stopped, unplugged and taken away.

A provider works on one lab. Every call may be repeated: what is already so stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from provisioner.lab import HostSpec
from provisioner.progress import Progress

MachineState = Literal["running", "stopped", "saved", "absent", "unreachable"]
"""saved: suspended, its memory on disk. unreachable: not ours to start, and ssh does not answer."""


@dataclass(frozen=True)
class Machine:
    """One host as its provider sees it."""

    spec: HostSpec
    state: MachineState
    docker_socket: Path
    """Where the host's Docker socket is served on this machine, while it runs."""

    @property
    def name(self) -> str:
        return self.spec.name


class Provider(Protocol):
    """Implementations: :mod:`provisioner.machines.lxc`, :mod:`provisioner.machines.vagrant`,
    :mod:`provisioner.machines.inventory`."""

    def preflight(self) -> list[str]:
        """Before any machine is touched: what the user should know about this spec on this machine, in sentences.

        :raises ProvisionError: the spec cannot be had here.
        """

    def working(self) -> AbstractContextManager[None]:
        """Be the one `provision` at work on the lab: ends what a killed one left running, and has every child of
        this process found by the next, should it be killed itself."""

    def prepare(self, progress: Progress, *, converged_by: str, converge: Callable[[HostSpec], None] | None) -> bool:
        """Have an image to make hosts from.

        :param converged_by: a digest of all that a converged host depends on beside its base image.
        :param converge: runs the playbook on a host that the provider has started for it, and that it will make
            the image of; None where no image of a converged host may be used or made.
        :returns: whether hosts made now are converged already.
        """

    def create(self, progress: Progress) -> dict[str, str]:
        """Make every host of the spec that is absent and start it; wait until ssh answers on all.

        :returns: the hosts that did not come up, with the reason. The others are up.
        """

    def converging(self) -> AbstractContextManager[Mapping[str, object]]:
        """What the hosts need while the playbook runs, such as a way to packages.

        :returns: variables that the playbook is given for it.
        """

    def machines(self) -> list[Machine]:
        """Every host of the spec, in its order, with its present state."""

    def start(self, names: Sequence[str], progress: Progress) -> dict[str, str]:
        """Start hosts that exist, or resume them where they are saved, and wait until ssh answers.

        :returns: the hosts that did not come up, with the reason. The others are up.
        """

    def stop(self, names: Sequence[str], progress: Progress) -> None:
        """Shut hosts down in order."""

    def suspend(self, names: Sequence[str], progress: Progress) -> None:
        """Save the hosts' memory to disk and stop them, so that `start` has them back in seconds.

        :raises UsageError: this provider cannot.
        """

    def power_off(self, names: Sequence[str]) -> None:
        """Pull the plug of all of them at once: the link first, then the host.

        :raises UsageError: this provider cannot.
        """

    def freeze(self, names: Sequence[str]) -> None:
        """Stop every process of these hosts where it is. The kernel of a container still answers, a virtual machine's
        does not.

        :raises UsageError: this provider cannot.
        """

    def thaw(self, names: Sequence[str]) -> None:
        """Let hosts that are frozen go on."""

    def console(self, name: str) -> str:
        """The last lines of a host's console."""
