"""What a scenario is: a plan for breaking hosts, and what is expected to be seen, in words, before it acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from provisioner.lab import LabSpec

if TYPE_CHECKING:
    from provisioner.chaos.experiment import Experiment
    from provisioner.chaos.outcome import Outcome


@dataclass(frozen=True)
class Expectation:
    """A claim that a scenario makes before it acts; the suite ``failover`` has a test for each name."""

    name: str
    words: str

    def __str__(self) -> str:
        return self.words


class Scenario(Protocol):
    @property
    def name(self) -> str:
        """As it is typed: kill-managers."""

    def purpose(self, spec: LabSpec) -> str:
        """One sentence: what is done to this lab, and why."""

    def expectations(self, spec: LabSpec) -> tuple[Expectation, ...]:
        """What must be seen on this lab.

        :raises UsageError: the scenario cannot be played on such a lab; the message says why.
        """

    def play(self, experiment: Experiment) -> Outcome:
        """Break the lab, watch, measure, restore it, and say what was seen. Judging is the suite's task."""
