"""hang-daemon: the swarm daemon of the leader's host stands still; its store, its tasks and its kernel go on."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.chaos import engines, management
from provisioner.chaos.bounds import bounds
from provisioner.chaos.experiment import Experiment
from provisioner.chaos.kill_leader import require_successor
from provisioner.chaos.outcome import Outcome
from provisioner.chaos.scenario import Expectation
from provisioner.chaos.timeline import HUNG, ONE_LEADER
from provisioner.lab import LabSpec


@dataclass(frozen=True)
class HangDaemon:
    @property
    def name(self) -> str:
        return "hang-daemon"

    def __str__(self) -> str:
        return self.name

    def purpose(self, spec: LabSpec) -> str:
        engine = engines.of(spec)
        then = "its supervisor restarts it" if engine.restarts_hung else "nobody restarts it, so it goes on later"
        return f"stop {engine.daemon} on the leader's host where it is (SIGSTOP); {then}, and leads no more"

    def expectations(self, spec: LabSpec) -> tuple[Expectation, ...]:
        require_successor(spec)
        tasks = management.ALL_TASKS if engines.of(spec).restarts_hung else management.OTHERS_TASKS
        return (
            *management.led_by_another(bounds(spec).hung), management.ONE_LEADER, tasks, *management.COMMON_WHERE_ON,
        )  # fmt: skip

    def play(self, experiment: Experiment) -> Outcome:
        engine, victim = engines.of(experiment.spec), experiment.leader
        experiment.strike(
            HUNG, victim, f"{engine.daemon} stands still", lambda: experiment.faults.hang_daemon(victim),
            tasks_stay=engine.restarts_hung,
        )  # fmt: skip
        management.watch_another_lead(experiment, experiment.bounds.hung)
        since = experiment.end_fault(f"{engine.daemon} on {victim} goes on, where it still lives")
        experiment.watch_agreement(ONE_LEADER, since=since)
        experiment.check_tasks(f"when {engine.daemon} had stood still")
        experiment.restore()
        return experiment.conclude(str(self), self.purpose(experiment.spec))
