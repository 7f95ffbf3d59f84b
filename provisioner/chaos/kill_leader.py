"""kill-leader: power off the leader of a swarm that can lose it."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.chaos import management
from provisioner.chaos.bounds import bounds
from provisioner.chaos.experiment import Experiment
from provisioner.chaos.outcome import Outcome
from provisioner.chaos.scenario import Expectation
from provisioner.errors import UsageError
from provisioner.lab import LabSpec, tolerated_losses


def require_successor(spec: LabSpec) -> None:
    """:raises UsageError: without its leader the lab has no majority."""
    total = len(spec.managers)
    if not tolerated_losses(total):
        have = "1 manager, which tolerates" if total == 1 else f"{total} managers, which tolerate"
        raise UsageError(
            f"lab {spec.name!r} has {have} no loss: without the leader nobody is left who could elect another",
            hint="provision chaos kill-managers --count 1 shows what happens then",
        )


@dataclass(frozen=True)
class KillLeader:
    @property
    def name(self) -> str:
        return "kill-leader"

    def __str__(self) -> str:
        return self.name

    def purpose(self, spec: LabSpec) -> str:
        others = len(spec.managers) - 1
        return f"power off the leader; the other {others} managers elect a new one, and management goes on"

    def expectations(self, spec: LabSpec) -> tuple[Expectation, ...]:
        require_successor(spec)
        return (*management.goes_on(bounds(spec), leader_lost=True), *management.COMMON)

    def play(self, experiment: Experiment) -> Outcome:
        victims = [experiment.leader]
        experiment.power_off(victims)
        management.watch_it_go_on(experiment, victims)
        experiment.check_tasks("while the leader was off")
        experiment.restore()
        return experiment.conclude(str(self), self.purpose(experiment.spec))
