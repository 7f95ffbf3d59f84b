"""What happened when, in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

KILLED = "killed"
HUNG = "hung"
CUT = "cut off"
FROZEN = "frozen"
FAULTS = (KILLED, HUNG, CUT, FROZEN)
"""The events from which seconds are counted: a scenario has one of them."""
NOTICED = "noticed"
NEW_LEADER = "new leader"
LEADER_STAYS = "the leader answers"
FIRST_WRITE = "first write accepted"
RECOVERY = "recovery begins"
MOVED = "tasks moved"
REFUSED = "the cut manager refuses"
ONE_LEADER = "one leader"
RESTORED = "restored"


@dataclass(frozen=True)
class Event:
    seconds: float
    """Since the run began, by the same clock as the history's."""
    name: str
    words: str = ""


class Timeline:
    """Events in the order in which they were marked; ``heard`` gets each one at once."""

    def __init__(self, clock: Callable[[], float], heard: Callable[[Event], None]) -> None:
        self._clock = clock
        self._heard = heard
        self._events: list[Event] = []

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(sorted(self._events, key=lambda event: event.seconds))

    def mark(self, name: str, words: str = "", at: float | None = None) -> Event:
        """:param at: seconds of the clock; now, where absent."""
        event = Event(round(self._clock() if at is None else at, 3), name, words)
        self._events.append(event)
        self._heard(event)
        return event


def stopwatch() -> Callable[[], float]:
    """A clock that starts at zero now."""
    origin = time.monotonic()
    return lambda: time.monotonic() - origin
