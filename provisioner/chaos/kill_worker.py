"""kill-worker: power off a worker; its tasks move, and management never notices more than that."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.chaos import management
from provisioner.chaos.bounds import bounds
from provisioner.chaos.experiment import Experiment
from provisioner.chaos.outcome import Outcome
from provisioner.chaos.scenario import Expectation
from provisioner.errors import UsageError
from provisioner.lab import LabSpec


@dataclass(frozen=True)
class KillWorker:
    @property
    def name(self) -> str:
        return "kill-worker"

    def __str__(self) -> str:
        return self.name

    def purpose(self, spec: LabSpec) -> str:
        return f"power off {_victim(spec)}, a worker; the managers give its tasks to other hosts"

    def expectations(self, spec: LabSpec) -> tuple[Expectation, ...]:
        victim, bound = _victim(spec), bounds(spec)
        return (
            *management.goes_on(bound, leader_lost=False),
            Expectation("moved", f"the tasks of {victim} run on other hosts within {bound.moved:g} s"),
            *management.COMMON,
        )

    def play(self, experiment: Experiment) -> Outcome:
        victims = [_victim(experiment.spec)]
        experiment.power_off(victims)
        management.watch_it_go_on(experiment, victims)
        experiment.check_tasks("while the worker was off")
        experiment.restore()
        return experiment.conclude(str(self), self.purpose(experiment.spec))


def _victim(spec: LabSpec) -> str:
    """:raises UsageError: the lab has no worker."""
    if not spec.workers:
        raise UsageError(
            f"lab {spec.name!r} has no worker to power off, only managers",
            hint="make a lab with workers: provision up --managers 3 --workers 2",
        )
    return spec.workers[0].name
