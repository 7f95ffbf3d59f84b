"""freeze-leader: all processes of the leader's host stand still for longer than its lease, and then go on as if not."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.chaos import engines, management
from provisioner.chaos.bounds import bounds
from provisioner.chaos.experiment import Experiment
from provisioner.chaos.kill_leader import require_successor
from provisioner.chaos.outcome import Outcome
from provisioner.chaos.scenario import Expectation
from provisioner.chaos.timeline import FROZEN, ONE_LEADER
from provisioner.errors import UsageError
from provisioner.lab import LabSpec

LONGEST = 120.0


@dataclass(frozen=True)
class FreezeLeader:
    seconds: float | None = None
    """For how long; the engine's own, where absent."""

    @property
    def name(self) -> str:
        return "freeze-leader"

    def __str__(self) -> str:
        return self.name if self.seconds is None else f"{self.name} --seconds {self.seconds:g}"

    def purpose(self, spec: LabSpec) -> str:
        what = "containers' processes" if _kernel_answers(spec) else "virtual machine"
        return (
            f"freeze the leader for {self._seconds(spec):g} s ({what}) and let it go on; another leads meanwhile, "
            "and what it still believes changes nothing"
        )

    def expectations(self, spec: LabSpec) -> tuple[Expectation, ...]:
        require_successor(spec)
        if self.seconds is not None and not 0 < self.seconds <= LONGEST:
            raise UsageError(
                f"a host cannot be frozen for {self.seconds:g} s",
                hint=f"more than 0 and at most {LONGEST:g}: provision chaos freeze-leader --seconds 20",
            )
        patience = engines.of(spec).patience
        not_down = (
            Expectation(
                "not-down", f"its kernel answers, so it is not called Down for {patience:g} s; no other ever is"
            )
            if patience is not None and _kernel_answers(spec)
            else None
        )
        return (
            *management.led_by_another(bounds(spec).leader),
            *([not_down] if not_down else []),
            management.ONE_LEADER,
            management.OTHERS_TASKS,
            *management.COMMON_WHERE_ON,
        )

    def play(self, experiment: Experiment) -> Outcome:
        victim = experiment.leader
        experiment.strike(FROZEN, victim, "every process stands still", lambda: experiment.faults.freeze(victim))
        management.watch_another_lead(experiment, experiment.bounds.leader)
        experiment.look_on(self._seconds(experiment.spec), f"{victim} is frozen")
        since = experiment.end_fault(f"{victim} goes on")
        experiment.watch_agreement(ONE_LEADER, since=since)
        experiment.check_tasks("when the leader had been frozen")
        experiment.restore()
        return experiment.conclude(str(self), self.purpose(experiment.spec))

    def _seconds(self, spec: LabSpec) -> float:
        return engines.of(spec).freeze if self.seconds is None else self.seconds


def _kernel_answers(spec: LabSpec) -> bool:
    """Whether a frozen host's kernel still answers: that of a container does, a virtual machine's does not."""
    return spec.provider == "lxc"
