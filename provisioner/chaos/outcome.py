"""What a scenario saw. Values only: they travel from the suite to the command as JSON and are kept with the logs."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from provisioner.chaos.timeline import FAULTS, Event
from provisioner.chaos.verdict import Verdict


@dataclass(frozen=True)
class Measured:
    """How long something took to be seen, beside how long it may take."""

    name: str
    seconds: float | None
    """None: not seen while it was watched for."""
    within: float
    last: str
    """What was seen last, or what it looked like when it came."""

    @property
    def kept(self) -> bool:
        return self.seconds is not None and self.seconds <= self.within

    def words(self) -> str:
        if self.seconds is None:
            return f"{self.name}: not within {self.within:g} s; last seen: {self.last or 'nothing'}"
        return f"{self.name}: after {self.seconds:.1f} s (bound {self.within:g} s): {self.last}"


@dataclass(frozen=True)
class Refusal:
    """How a surviving host answered the question for the swarm's nodes; ``words`` are empty where it named them."""

    host: str
    words: str


@dataclass(frozen=True)
class Container:
    """A container that must outlive the loss of other hosts."""

    id: str
    name: str
    host: str
    started: str
    """StartedAt, as its engine gives it."""


@dataclass(frozen=True)
class CalledDown:
    """The first time that a node was called Down."""

    host: str
    seconds: float
    """Since the fault."""


@dataclass(frozen=True)
class Outcome:
    scenario: str
    purpose: str
    leader: str
    """Who led before."""
    victims: tuple[str, ...]
    events: tuple[Event, ...]
    measured: tuple[Measured, ...]
    refusals: tuple[Refusal, ...]
    accepted_in_outage: int
    """Writes begun after the fault and acknowledged before its end."""
    accepted_by_victims: int
    """Of these, those that were acknowledged by the hosts that it was done to."""
    longest_gap: float
    """The longest time without an acknowledged write, in seconds."""
    management: tuple[str, ...]
    """What failed when services were created and scaled during the outage, one sentence each."""
    watched: tuple[Container, ...]
    """The containers on surviving hosts that had to keep running."""
    released: tuple[str, ...]
    """Hosts whose containers had to only until the recovery."""
    interrupted: tuple[str, ...]
    """Those that did not, one sentence each."""
    missing: tuple[str, ...]
    """Objects of the cluster that were there before and are not any more."""
    called_down: tuple[CalledDown, ...]
    verdict: Verdict
    restored: tuple[str, ...]
    """What differs from the lab's spec at the end; empty when it is as before."""
    history: str
    """Where the writers' history lies."""

    def measurement(self, name: str) -> Measured:
        """:raises KeyError: the scenario did not measure that."""
        for measured in self.measured:
            if measured.name == name:
                return measured
        raise KeyError(name)

    def after_kill(self, event: Event) -> float:
        """Seconds between the fault and an event; negative before it."""
        fault = next((each.seconds for each in self.events if each.name in FAULTS), 0.0)
        return event.seconds - fault


_ADAPTER = TypeAdapter(Outcome)


def to_json(outcome: Outcome) -> object:
    """The outcome in JSON's types."""
    value: object = _ADAPTER.dump_python(outcome, mode="json")
    return value


def from_json(value: object) -> Outcome:
    """:raises pydantic.ValidationError: the value is not an outcome."""
    return _ADAPTER.validate_python(value)
