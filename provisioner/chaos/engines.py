"""What scenarios must know of an engine: its daemon, what outlives that, and which kinds of objects it has."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.lab import LabSpec

KINDS = ("network", "secret", "config")
"""What a cluster may hold beside services."""


@dataclass(frozen=True)
class Engine:
    daemon: str
    """The program that makes a host a part of the swarm."""
    unit: str
    """The systemd unit in which it runs."""
    find: str
    """Shell that sets ``pid`` to its process."""
    tasks_outlive_it: bool
    """Whether containers run on when it is killed."""
    restarts_hung: bool
    """Whether something notices that it hangs, and restarts it."""
    patience_of_looks: float
    """Seconds that one question in a look may take: longer than a refusal takes, unless that takes very long."""
    kinds: tuple[str, ...]
    """Of KINDS, those that it has."""
    freeze: float
    """Seconds for which freeze-leader freezes a host: longer than the engine takes to have another leader."""
    patience: float | None
    """Seconds for which a node whose kernel answers is not called Down; None: the engine does not ask kernels."""

    @property
    def lacks(self) -> tuple[str, ...]:
        return tuple(kind for kind in KINDS if kind not in self.kinds)


_DOCKER = Engine(
    daemon="dockerd",
    unit="docker.service",
    find="pid=$(systemctl show --property MainPID --value docker.service)",
    tasks_outlive_it=False,
    restarts_hung=False,
    # Without a leader a call hangs for up to 20 s, and a change in between would be seen that much later.
    patience_of_looks=1.0,
    kinds=KINDS,
    freeze=45.0,
    patience=None,
)

_SWARMD = Engine(
    daemon="swarmd",
    unit="swarmd.service",
    # The unit's main process is the supervisor, and the daemon its only child.
    find="pid=$(pgrep --parent $(systemctl show --property MainPID --value swarmd.service) | head -n 1)",
    tasks_outlive_it=True,
    restarts_hung=True,
    # It says that there is no leader after 1.8 s.
    patience_of_looks=2.5,
    kinds=("config",),
    freeze=10.0,
    patience=10.0,
)

_ENGINES = {"docker": _DOCKER, "swarmd": _SWARMD}


def of(spec: LabSpec) -> Engine:
    """An engine of which nothing is known is taken for Docker's."""
    return _ENGINES.get(spec.engine, _DOCKER)
