"""When a child counts as hung, and how long to wait before it is started again. Pure: times are handed in."""

from __future__ import annotations

SILENCE = 2.0
"""Seconds without a beat after which a child counts as hung: five missed beats."""
START = 30.0
"""Seconds that a child has until its first beat."""
OVERSLEPT = 1.0
"""The loop wakes each 0.5 s at least; a longer gap than this means that this process itself stood still."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
LONG_LIFE = 30.0
"""Seconds of life after which a child's end is no part of a crash loop any more."""


class Silence:
    """Judges one child. Time that the judge slept through is not held against it."""

    def __init__(self, now: float, *, silence: float = SILENCE, start: float = START) -> None:
        self._silence, self._start = silence, start
        self._heard = now
        self._woke = now
        self.has_beaten = False

    def beat(self, now: float) -> None:
        self._heard = now
        self.has_beaten = True

    def is_hung(self, now: float) -> bool:
        """To be asked at each pass of the loop, after the beats that have come were counted."""
        overslept = now - self._woke > OVERSLEPT
        self._woke = now
        if overslept:
            self._heard = now
        return self.left(now) <= 0

    def left(self, now: float) -> float:
        """Seconds until the child counts as hung, if it goes on saying nothing."""
        return self._heard + (self._silence if self.has_beaten else self._start) - now


class BackOff:
    """Pauses before restarts: doubled from 0.1 s to 5 s, from the start again after a child that lived for 30 s."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE

    def after(self, lived: float) -> float:
        """
        :param lived: seconds that the child which has just ended had lived.
        :returns: seconds to wait before the next one is started.
        """
        if lived >= LONG_LIFE:
            self._pause = FIRST_PAUSE
        pause = self._pause
        self._pause = min(pause * 2, LONGEST_PAUSE)
        return pause
