"""The child's end: a byte each 0.4 s, written by the event loop, so that a loop that stands still is silent."""

from __future__ import annotations

import asyncio
import os

PERIOD = 0.4
VARIABLE = "SWARMD_HEARTBEAT_FD"


def descriptor() -> int | None:
    """The pipe to the supervisor, or None where there is none: swarmd was started by hand.

    Takes the variable out of the environment, and keeps the pipe from what this process starts.
    """
    value = os.environ.pop(VARIABLE, "")
    if not value:
        return None
    number = int(value)
    os.set_inheritable(number, False)
    os.set_blocking(number, False)
    return number


async def beat(number: int, *, period: float = PERIOD) -> None:
    """Beat until cancelled, or until the supervisor has gone: then it returns, and the daemon is to end, because the
    supervisor that follows starts one of its own."""
    while True:
        try:
            os.write(number, b".")
        except BlockingIOError:
            pass  # Seven hours of beats are unread: the supervisor stands still, which is not ours to judge.
        except BrokenPipeError:
            return
        await asyncio.sleep(period)
