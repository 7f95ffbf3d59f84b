"""Ctrl-C and SIGTERM end a command by KeyboardInterrupt, but never where Python would lose it or keep a lock for ever.

A handler's exception is raised between any two bytecodes of the main thread. In a destructor or a weak reference's
callback it is printed and ignored; between the taking of a lock and its `try` the lock stays taken. Both happened at
once: a SIGTERM while a log handler was collected (``logging._removeHandlerRef``) left `provision` hanging, its threads
waiting for logging's lock.
"""

from __future__ import annotations

import logging
import signal
import threading
import weakref
from types import FrameType

RETRY_SECONDS = 0.01
_FRAGILE_FILES = {module.__file__ for module in (logging, threading, weakref)}
_FRAGILE_NAMES = {"__del__"}


def install() -> None:
    """Be the handler of SIGINT and SIGTERM, and of the alarm that tries again."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _interrupt)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    if _is_fragile(frame):
        signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS)
        return
    raise KeyboardInterrupt


def _is_fragile(frame: FrameType | None) -> bool:
    """Whether an exception raised here may be lost, or may leave a lock taken.

    A wait for a thread or an event is within `threading` too, and may last; it is left at once.
    """
    if frame is not None and _waits(frame):
        return False
    while frame is not None:
        code = frame.f_code
        if code.co_filename in _FRAGILE_FILES or code.co_name in _FRAGILE_NAMES:
            return True
        frame = frame.f_back
    return False


def _waits(frame: FrameType) -> bool:
    return frame.f_code.co_filename == threading.__file__ and frame.f_code.co_name in {
        "wait", "join", "_wait_for_tstate_lock", "_shutdown",
    }  # fmt: skip
