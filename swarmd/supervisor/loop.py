"""Start the child, listen to it, act when it ends or falls silent, and pass signals on."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence

from swarmd.supervisor.child import Child
from swarmd.supervisor.judgement import BackOff, Silence
from swarmd.systemd import notify

PASS = 0.5
"""Seconds between two passes of the loop where nothing happens."""
ALIVE = 2.0
"""Seconds between two signs of life to systemd, whose limit is 10."""
STOPPING = 10.0
"""Seconds that a child has to end after SIGTERM."""
PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
ENDING = (signal.SIGTERM, signal.SIGINT)


class Supervisor:
    """
    :param hand_over: moves etcd's leadership away, within a second, and says in a sentence what it did.
    """

    def __init__(self, command: Sequence[str], hand_over: Callable[[], str]) -> None:
        self._command = tuple(command)
        self._hand_over = hand_over
        self._back_off = BackOff()
        self._signals: list[int] = []
        self._woken, self._waker = os.pipe()
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)
        self._is_ready = False
        self._stopping = False
        self._told = 0.0

    def run(self) -> int:
        """Until SIGTERM or SIGINT. Returns the exit status."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in (*PASSED_ON, *ENDING):
            signal.signal(number, self._remember)
        while not self._stopping:
            child = Child.start(self._command, os.environ)
            try:
                why = self._watch(child)
                if not self._stopping:
                    lived = time.monotonic() - child.born
                    done = self._hand_over()
                    child.kill()
                    pause = self._back_off.after(lived)
                    say(f"swarmd {why}; {done}; it is started again in {pause:.1f} s")
                    self._pause(pause)
            finally:
                child.kill()
                child.close()
        return 0

    def _watch(self, child: Child) -> str:
        """Until the child has ended, is to be killed, or has been stopped; returns why."""
        now = time.monotonic()
        silence = Silence(now)
        poll = select.poll()
        for descriptor in (child.beats, child.end, self._woken):
            poll.register(descriptor, select.POLLIN)
        while True:
            for number, event in poll.poll(1000 * max(0.0, min(PASS, silence.left(now)))):
                if number == child.beats and not event & select.POLLIN:
                    poll.unregister(child.beats)  # The pipe's other end is closed; the child's end tells the rest.
            self._tend(child)
            if self._stopping:
                return self._stop(child)
            now = time.monotonic()
            if child.has_beaten():
                silence.beat(now)
                self._ready()
            why = child.ended()
            if why is not None:
                return f"ended by itself ({why})"
            if silence.is_hung(now):
                return "is silent and counts as hung"
            self._live()

    def _stop(self, child: Child) -> str:
        """On purpose: leadership goes first, so that the cluster does not notice."""
        notify("STOPPING=1")
        if child.ended() is None:
            say(f"stopping: {self._hand_over()}")
            child.tell(signal.SIGTERM)
        end = time.monotonic() + STOPPING
        while child.ended() is None:
            if time.monotonic() >= end:
                say(f"swarmd did not end within {STOPPING:.0f} s of SIGTERM and is killed")
                child.kill()
                break
            self._wait(PASS, child.end)
            self._tend(child)
            self._live()
        return "stopped"

    def _tend(self, child: Child) -> None:
        """Act on the signals that have come."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)
        numbers, self._signals = self._signals, []
        for number in numbers:
            if number in ENDING:
                self._stopping = True
            elif child.ended() is None:
                child.tell(number)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            self._wait(min(left, PASS))
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 4096)
            self._stopping = any(number in ENDING for number in self._signals)
            self._signals.clear()
            self._live()

    def _wait(self, seconds: float, *others: int) -> None:
        select.select([self._woken, *others], [], [], seconds)

    def _live(self) -> None:
        now = time.monotonic()
        if now >= self._told + ALIVE:
            self._told = now
            notify("WATCHDOG=1")

    def _ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            notify("READY=1")

    def _remember(self, number: int, frame: object) -> None:
        del frame
        self._signals.append(number)


def say(sentence: str) -> None:
    print(f"swarmd-supervisor: {sentence}", file=sys.stderr, flush=True)
