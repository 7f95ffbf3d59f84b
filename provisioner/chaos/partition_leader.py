"""partition-leader: the leader is cut off from the other managers, both ways or one way; all machines run on."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.chaos import management, sights
from provisioner.chaos.bounds import bounds
from provisioner.chaos.experiment import Experiment
from provisioner.chaos.faults import Direction
from provisioner.chaos.kill_leader import require_successor
from provisioner.chaos.outcome import Outcome
from provisioner.chaos.scenario import Expectation
from provisioner.chaos.timeline import CUT, NEW_LEADER, NOTICED, ONE_LEADER, REFUSED
from provisioner.chaos.watching import Watch
from provisioner.lab import LabSpec
from provisioner.swarm import NO_LEADER

_WORDS: dict[Direction, str] = {
    "both": "it neither sends to the other managers nor hears them",
    "in": "it sends to the other managers and does not hear them",
    "out": "it hears the other managers and cannot send to them",
}


@dataclass(frozen=True)
class PartitionLeader:
    direction: Direction = "both"

    @property
    def name(self) -> str:
        return "partition-leader"

    def __str__(self) -> str:
        return f"{self.name} --direction {self.direction}"

    def purpose(self, spec: LabSpec) -> str:
        others = len(spec.managers) - 1
        return f"cut the leader off: {_WORDS[self.direction]}; the {others} others are a majority and go on without it"

    def expectations(self, spec: LabSpec) -> tuple[Expectation, ...]:
        require_successor(spec)
        bound = bounds(spec)
        return (
            *management.led_by_another(bound.leader),
            Expectation("noticed", f"it is shown as Down or Unreachable within {bound.noticed:g} s"),
            Expectation("cut-refuses", f'the one that is cut off answers "{NO_LEADER}" within {bound.refusal:g} s'),
            Expectation("cut-accepts-nothing", "the one that is cut off accepts no write"),
            management.ONE_LEADER,
            management.OTHERS_TASKS,
            *management.COMMON_WHERE_ON,
        )

    def play(self, experiment: Experiment) -> Outcome:
        victim, bound = experiment.leader, experiment.bounds
        others = [host.name for host in experiment.spec.managers if host.name != victim]
        words = f"nftables rules against {', '.join(others)} ({self.direction})"
        experiment.strike(CUT, victim, words, lambda: experiment.faults.cut(victim, others, self.direction))
        experiment.watch(experiment.signs_of_management(NEW_LEADER, within=bound.leader))
        experiment.watch_refusal(REFUSED, [victim])
        experiment.watch([Watch(NOTICED, sights.noticed([victim]), bound.noticed)])
        experiment.ask_survivors()
        management.use(experiment)
        since = experiment.end_fault(f"the rules on {victim} are taken away")
        experiment.watch_agreement(ONE_LEADER, since=since)
        experiment.check_tasks("when the leader had been cut off")
        experiment.restore()
        return experiment.conclude(str(self), self.purpose(experiment.spec))
