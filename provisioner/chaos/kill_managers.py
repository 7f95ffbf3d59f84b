"""kill-managers: power off some managers at once, the leader among them.

Whether management goes on is arithmetic: of n managers a majority of n//2 + 1 must be left.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.chaos import management
from provisioner.chaos.bounds import bounds
from provisioner.chaos.experiment import Experiment
from provisioner.chaos.outcome import Outcome
from provisioner.chaos.scenario import Expectation
from provisioner.chaos.timeline import NEW_LEADER, NOTICED
from provisioner.errors import UsageError
from provisioner.lab import LabSpec, majority
from provisioner.swarm import NO_LEADER

# So long the lab is left without management, so that tasks and writes have the time to go wrong.
OUTAGE = 5.0


@dataclass(frozen=True)
class KillManagers:
    count: int = 1
    spare_leader: bool = False
    """Take managers other than the leader."""

    @property
    def name(self) -> str:
        return "kill-managers"

    def __str__(self) -> str:
        return f"{self.name} --count {self.count}"

    def purpose(self, spec: LabSpec) -> str:
        total, left = len(spec.managers), len(spec.managers) - self.count
        who = "none of them the leader" if self.spare_leader else "the leader among them"
        what = f"power off {self.count} of {total} managers{'' if self.count == total else f', {who}'}"
        needed = majority(total)
        verdict = "so management goes on" if left >= needed else "so management must stop"
        return f"{what}; {left} {'is' if left == 1 else 'are'} left and a majority is {needed}, {verdict}"

    def expectations(self, spec: LabSpec) -> tuple[Expectation, ...]:
        self._require_possible(spec)
        bound = bounds(spec)
        survivors = len(spec.managers) - self.count
        if survivors >= majority(len(spec.managers)):
            return (*management.goes_on(bound, leader_lost=not self.spare_leader), *management.COMMON)
        missing = majority(len(spec.managers)) - survivors
        back = "one manager back restores" if missing == 1 else f"{missing} managers back restore"
        stops = (
            Expectation("refusal", f'every manager left answers "{NO_LEADER}" within {bound.refusal:g} s')
            if survivors
            else Expectation("no-management", "no host answers `docker node ls`: there is no manager left")
        )
        return (
            stops,
            Expectation("no-write", "no write is accepted meanwhile"),
            Expectation("management-back", f"{back} management within {bound.recovery:g} s of the start"),
            *management.COMMON,
        )

    def play(self, experiment: Experiment) -> Outcome:
        victims = self._victims(experiment)
        experiment.power_off(victims)
        total = len(experiment.spec.managers)
        left = total - self.count
        if left >= majority(total):
            management.watch_it_go_on(experiment, victims)
            experiment.check_tasks("while managers were off")
        else:
            self._watch_it_stop(experiment, victims)
            back = victims[: majority(total) - left]
            since = experiment.start(back)
            within = experiment.bounds.recovery
            experiment.watch(experiment.signs_of_management(NEW_LEADER, since=since, within=within), since=since)
        experiment.restore()
        return experiment.conclude(str(self), self.purpose(experiment.spec))

    def _watch_it_stop(self, experiment: Experiment, victims: list[str]) -> None:
        left = [host.name for host in experiment.spec.managers if host.name not in victims]
        if left:
            experiment.watch_refusal(NOTICED, left)
        experiment.ask_survivors()
        experiment.hold(OUTAGE, "no management")
        experiment.check_tasks("while there was no management")

    def _victims(self, experiment: Experiment) -> list[str]:
        others = [host.name for host in experiment.spec.managers if host.name != experiment.leader]
        return (others if self.spare_leader else [experiment.leader, *others])[: self.count]

    def _require_possible(self, spec: LabSpec) -> None:
        total = len(spec.managers)
        if self.count < 1:
            raise UsageError(
                f"{self.count} managers cannot be powered off", hint="provision chaos kill-managers --count 1"
            )
        if self.count > total:
            raise UsageError(f"lab {spec.name!r} has {total} managers, {self.count} cannot be powered off")
        if self.count == len(spec.hosts):
            raise UsageError(
                f"{self.count} managers are all hosts of lab {spec.name!r}: nobody would be left to be asked",
                hint=f"--count {self.count - 1} at most" if self.count > 1 else "a lab with workers is needed",
            )
        if self.spare_leader and self.count == total:
            raise UsageError(f"the leader is one of the {total} managers, so it cannot be spared")
