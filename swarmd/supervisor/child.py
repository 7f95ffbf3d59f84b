"""The supervised process: how it is started, heard, told and ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence

BEAT_VARIABLE = "SWARMD_HEARTBEAT_FD"
"""Names the descriptor on which the child writes a byte each 0.4 s."""
KEPT_FROM_THE_CHILD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""systemd's watchdog watches the supervisor; the child's life is the supervisor's to judge."""


class Child:
    """One life of the daemon. ``beats`` and ``end`` are descriptors to poll: readable at a beat, and at its end."""

    def __init__(self, pid: int, beats: int) -> None:
        self.pid = pid
        self.beats = beats
        self.end = os.pidfd_open(pid)
        self.born = time.monotonic()
        self._status: int | None = None

    @classmethod
    def start(cls, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Fork and execute. Sockets that systemd handed to this process go on to the child.

        A fork is safe here since this process has one thread, and it is what lets ``LISTEN_PID`` be the child's own
        pid, which systemd's protocol asks for (sd_listen_fds(3)).
        """
        beats, told = os.pipe()
        os.set_blocking(beats, False)
        pid = os.fork()
        if pid == 0:
            _become(command, environment, told)
        os.close(told)
        return cls(pid, beats)

    def has_beaten(self) -> bool:
        """Whether a beat has come since the last call."""
        heard = False
        try:
            while os.read(self.beats, 4096):
                heard = True
        except BlockingIOError:
            pass
        return heard

    def ended(self) -> str | None:
        """Why it has ended, or None while it lives."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if not pid:
                return None
            self._status = status
        code = os.waitstatus_to_exitcode(self._status)
        return f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"

    def tell(self, number: int) -> None:
        if self._status is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait for its end; it cannot refuse, stopped or not."""
        if self.ended() is None:
            os.kill(self.pid, signal.SIGKILL)
            _, self._status = os.waitpid(self.pid, 0)

    def close(self) -> None:
        os.close(self.beats)
        os.close(self.end)


def child_environment(own: Mapping[str, str], pid: int, beat: int) -> dict[str, str]:
    """What the child gets to see."""
    environment = {name: value for name, value in own.items() if name not in KEPT_FROM_THE_CHILD}
    environment[BEAT_VARIABLE] = str(beat)
    if "LISTEN_FDS" in environment:
        environment["LISTEN_PID"] = str(pid)
    return environment


def _become(command: Sequence[str], environment: Mapping[str, str], beat: int) -> None:
    status = 127
    try:
        os.set_inheritable(beat, True)
        signal.set_wakeup_fd(-1)
        os.execvpe(command[0], list(command), child_environment(environment, os.getpid(), beat))  # noqa: S606
    except OSError as error:
        os.write(2, f"swarmd-supervisor: {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(status)
