"""Waits of the checks: each has a deadline and an interval, and fails with what it saw last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

INTERVAL_SECONDS = 0.2
T = TypeVar("T")

_factor = [1.0]


def be_patient(factor: float) -> None:
    """Multiply every wait from now on: the hosts are emulated."""
    _factor[0] = factor


def patient(seconds: float) -> float:
    """A wait on this lab's hosts, given what it is on hosts that run at the machine's own speed."""
    return seconds * _factor[0]


def wait_until(
    claim: str,
    observe: Callable[[], T],
    holds: Callable[[T], bool],
    *,
    seconds: float,
    words: Callable[[T], str] = str,
    interval: float = INTERVAL_SECONDS,
) -> T:
    """Observe again and again until the claim holds, and return that observation.

    :param words: an observation as text for the message of a wait that failed.
    :raises AssertionError: it does not hold after so many seconds; the message has the last observation.
    """
    __tracebackhide__ = True
    seconds = patient(seconds)
    end = time.monotonic() + seconds
    while True:
        seen = observe()
        if holds(seen):
            return seen
        if time.monotonic() >= end:
            raise AssertionError(f"{claim}: not so after {seconds:g} s; last seen: {words(seen) or 'nothing'}")
        time.sleep(interval)
