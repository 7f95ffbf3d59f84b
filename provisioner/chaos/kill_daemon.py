"""kill-daemon: the swarm daemon of the leader's host is killed, and nothing else; what manages it starts it again."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.chaos import engines, management
from provisioner.chaos.bounds import bounds
from provisioner.chaos.experiment import Experiment
from provisioner.chaos.kill_leader import require_successor
from provisioner.chaos.outcome import Outcome
from provisioner.chaos.scenario import Expectation
from provisioner.chaos.timeline import KILLED
from provisioner.lab import LabSpec


@dataclass(frozen=True)
class KillDaemon:
    @property
    def name(self) -> str:
        return "kill-daemon"

    def __str__(self) -> str:
        return self.name

    def purpose(self, spec: LabSpec) -> str:
        engine = engines.of(spec)
        tasks = "tasks never notice" if engine.tasks_outlive_it else "and takes the tasks of its host with it"
        return f"kill -9 {engine.daemon} on the leader's host; it is started again by itself, {tasks}"

    def expectations(self, spec: LabSpec) -> tuple[Expectation, ...]:
        require_successor(spec)
        tasks = management.ALL_TASKS if engines.of(spec).tasks_outlive_it else management.OTHERS_TASKS
        return (*management.led_by_another(bounds(spec).leader), tasks, *management.COMMON_WHERE_ON)

    def play(self, experiment: Experiment) -> Outcome:
        engine, victim = engines.of(experiment.spec), experiment.leader
        experiment.strike(
            KILLED, victim, f"kill -9 {engine.daemon}", lambda: experiment.faults.kill_daemon(victim),
            silent=False, tasks_stay=engine.tasks_outlive_it,
            # dockerd is back before the others miss it, and may be elected again.
            leads_no_more=engine.restarts_hung,
        )  # fmt: skip
        management.watch_another_lead(experiment, experiment.bounds.leader)
        experiment.check_tasks(f"when {engine.daemon} had been killed")
        experiment.restore()
        return experiment.conclude(str(self), self.purpose(experiment.spec))
