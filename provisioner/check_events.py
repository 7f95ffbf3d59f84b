"""What the running checks tell `provision`: one JSON object a line, over a pipe.

Both ends use these types: :mod:`provisioner.suites.stream` writes in the pytest process, `provisioner.checks` reads.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Outcome = Literal["passed", "failed", "impossible", "skipped"]
"""``impossible``: this kernel lacks what the check needs. ``skipped``: it says nothing about such a lab."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Collected(_Event):
    """The run is about to start."""

    kind: Literal["collected"] = "collected"
    checks: int


class Started(_Event):
    kind: Literal["started"] = "started"
    nodeid: str
    suite: str
    sentence: str


class Finished(_Event):
    kind: Literal["finished"] = "finished"
    nodeid: str
    suite: str
    sentence: str
    outcome: Outcome
    message: str = ""
    """Why it failed, or the reason for which it was not run; empty where it passed."""
    seconds: float


class Doing(_Event):
    """What a long check does at this moment."""

    kind: Literal["doing"] = "doing"
    text: str


class Note(_Event):
    """A line that stays on the screen."""

    kind: Literal["note"] = "note"
    text: str


class Data(_Event):
    """A value that a suite hands to its caller, for example a timeline."""

    kind: Literal["data"] = "data"
    name: str
    value: Any


class Broken(_Event):
    """Not a check that failed but the checks themselves: they cannot be imported, or pytest met an error."""

    kind: Literal["broken"] = "broken"
    where: str
    message: str


class Ended(_Event):
    """The last event. ``status`` is pytest's exit status."""

    kind: Literal["ended"] = "ended"
    status: int


Event = Collected | Started | Finished | Doing | Note | Data | Broken | Ended
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def to_line(event: Event) -> str:
    return event.model_dump_json() + "\n"


def from_line(line: str) -> Event:
    """:raises pydantic.ValidationError: the line is not an event."""
    return _ADAPTER.validate_json(line)
