"""A supervisor as its own process, with a child that this folder's tests write."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

DEADLINE = 20.0


class Notified:
    """systemd's end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(DEADLINE)

    def wait_for(self, message: str) -> None:
        while self._socket.recv(4096).decode() != message:
            pass

    def close(self) -> None:
        self._socket.close()


class Supervised:
    """One running supervisor. Its child tells the test what happens by lines on a pipe of its own."""

    def __init__(self, code: str, folder: Path, *, etcd_socket: Path | None, environment: dict[str, str]) -> None:
        self._lines, told = os.pipe()
        self._rest = b""
        self.log = folder / "supervisor.log"
        own = ["--etcd-socket", str(etcd_socket or folder / "none.sock")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "swarmd.supervisor", *own, "--", sys.executable, "-c", code],
                env={**os.environ, "TOLD": str(told), **environment},
                pass_fds=[told, *(int(number) for number in environment.get("KEEP", "").split())],
                stderr=log,
                start_new_session=True,
            )
        os.close(told)

    def line(self) -> str:
        """The next line that a child told."""
        end = time.monotonic() + DEADLINE
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._lines], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"the child said nothing more; the supervisor: {self.log.read_text()}"
            part = os.read(self._lines, 4096)
            assert part, f"all have ended; the supervisor: {self.log.read_text()}"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._lines)


Start = Callable[..., Supervised]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Start]:
    made: list[Supervised] = []

    def start(code: str, *, etcd_socket: Path | None = None, **environment: str) -> Supervised:
        tell = "import os\ndef tell(line): os.write(int(os.environ['TOLD']), f'{line}\\n'.encode())\n"
        made.append(Supervised(tell + code, tmp_path, etcd_socket=etcd_socket, environment=environment))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[Notified]:
    listener = Notified(tmp_path / "notify")
    yield listener
    listener.close()
