"""The supervisor as systemd starts it: a process of its own with a real child."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

BEATING = """
import asyncio
from swarmd.supervisor.heartbeat import beat, descriptor

async def main():
    number = descriptor()
    os.write(number, b'.')
    tell(f'pid {os.getpid()}')
    await beat(number)

asyncio.run(main())
"""

RECORDING = """
import signal, sys, time
from swarmd.supervisor.heartbeat import descriptor

def on_hangup(*_): tell('hangup')
def on_end(*_):
    tell('told to end')
    sys.exit(0)

signal.signal(signal.SIGHUP, on_hangup)
signal.signal(signal.SIGTERM, on_end)
number = descriptor()
tell('ready')
while True:
    os.write(number, b'.')
    time.sleep(0.1)
"""


def test_a_child_that_is_killed_is_started_again(supervise):
    supervised = supervise(BEATING)
    first = int(supervised.line().split()[1])
    os.kill(first, signal.SIGKILL)
    assert int(supervised.line().split()[1]) != first
    assert "signal SIGKILL" in supervised.log.read_text()


def test_a_child_that_is_frozen_is_killed_and_started_again(supervise):
    supervised = supervise(BEATING)
    first = int(supervised.line().split()[1])
    os.kill(first, signal.SIGSTOP)
    assert int(supervised.line().split()[1]) != first
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert "counts as hung" in supervised.log.read_text()


def test_a_child_whose_event_loop_is_blocked_is_killed_and_started_again(supervise):
    blocked = BEATING.replace("await beat(number)", "await asyncio.gather(beat(number), block())")
    blocked = f"async def block():\n    import time\n    time.sleep(3600)\n{blocked}"
    supervised = supervise(blocked)
    assert supervised.line() != supervised.line()
    assert "counts as hung" in supervised.log.read_text()


def test_a_crash_loop_is_slowed_down(supervise):
    supervised = supervise("tell('born')\nraise SystemExit(3)")
    for _ in range(4):
        assert supervised.line() == "born"
    said = supervised.log.read_text()
    pauses = [line.rpartition(" in ")[2] for line in said.splitlines() if "exit status 3" in line]
    assert pauses[:3] == ["0.1 s", "0.2 s", "0.4 s"]


def test_sigterm_reaches_the_child_and_its_end_is_waited_for(supervise):
    supervised = supervise(RECORDING)
    assert supervised.line() == "ready"
    supervised.process.terminate()
    assert supervised.line() == "told to end"
    assert supervised.process.wait(20) == 0


def test_sigterm_during_a_pause_ends_at_once(supervise):
    supervised = supervise("tell('born')\nraise SystemExit(3)")
    for _ in range(3):
        supervised.line()
    supervised.process.terminate()
    assert supervised.process.wait(20) == 0


def test_sighup_is_passed_on(supervise):
    supervised = supervise(RECORDING)
    assert supervised.line() == "ready"
    supervised.process.send_signal(signal.SIGHUP)
    assert supervised.line() == "hangup"


def test_sockets_of_systemd_reach_the_child_with_its_own_pid(supervise):
    """systemd's protocol counts descriptors from 3, so a shell puts the socket there and becomes the supervisor."""
    code = """
from swarmd.supervisor.heartbeat import descriptor
import socket, time
number = descriptor()
listening = socket.socket(fileno=3)
mine = int(os.environ['LISTEN_PID']) == os.getpid()
tell(f"{mine} {os.environ['LISTEN_FDS']} {listening.getsockname()[1]} {os.environ.get('NOTIFY_SOCKET')}")
while True:
    os.write(number, b'.')
    time.sleep(0.1)
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        saved = os.dup(3) if Path("/proc/self/fd/3").exists() else None
        inheritable = os.get_inheritable(3) if saved is not None else False
        try:
            os.dup2(server.fileno(), 3)
            supervised = supervise(code, LISTEN_FDS="1", LISTEN_PID="1", KEEP="3", NOTIFY_SOCKET="/nonexistent")
        finally:
            if saved is not None:
                os.dup2(saved, 3, inheritable)
                os.close(saved)
            else:
                os.close(3)
        assert supervised.line() == f"True 1 {port} None"


def test_systemd_hears_of_readiness_of_life_and_of_the_end(supervise, notified):
    supervised = supervise(BEATING, NOTIFY_SOCKET=str(notified.path))
    notified.wait_for("READY=1")
    notified.wait_for("WATCHDOG=1")
    supervised.process.terminate()
    notified.wait_for("STOPPING=1")


def test_a_child_is_orphaned_if_the_supervisor_is_killed_and_notices(supervise):
    code = BEATING.replace("await beat(number)", "await beat(number)\n    tell('alone')")
    supervised = supervise(code)
    supervised.line()
    supervised.process.kill()
    assert supervised.line() == "alone"


def test_the_supervisor_stays_small(supervise):
    supervised = supervise(BEATING)
    supervised.line()
    status = Path(f"/proc/{supervised.process.pid}/status").read_text()
    kilobytes = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert kilobytes <= 13 << 10
