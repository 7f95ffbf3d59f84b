"""etcd members on loopback, with the daemon's settings but without certificates."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 20


class Members:
    """Of one new cluster; ended with the ``with``."""

    def __init__(self, program: Path, folder: Path, number: int) -> None:
        names = [f"m{each}" for each in range(1, number + 1)]
        self._peers = dict(zip(names, _free_addresses(number), strict=True))
        self._program, self._folder = program, folder
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def sockets(self) -> list[Path]:
        return [self._folder / name / "c.sock" for name in self._peers]

    def __enter__(self) -> Self:
        for name, peer in self._peers.items():
            self._processes.append(self._start(name, peer))
        for path in self.sockets:
            _await(path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _start(self, name: str, peer: str) -> subprocess.Popen[bytes]:
        folder = self._folder / name
        folder.mkdir(mode=0o700)
        cluster = ",".join(f"{other}={url}" for other, url in self._peers.items())
        arguments = [
            f"--name={name}", f"--data-dir={folder / 'data'}",
            f"--listen-client-urls=unix://{folder / 'c.sock'}", "--advertise-client-urls=http://127.0.0.1:2379",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={cluster}", "--initial-cluster-state=new",
            "--heartbeat-interval=50", "--election-timeout=300",
            "--max-txn-ops=4096", "--max-request-bytes=8388608",
            "--logger=zap", "--log-level=warn",
        ]  # fmt: skip
        with (folder / "log").open("ab") as log:
            return subprocess.Popen([self._program, *arguments], stdout=log, stderr=log, cwd=folder)


def _free_addresses(number: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [f"http://127.0.0.1:{probe.getsockname()[1]}" for probe in probes]


def _await(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"etcd did not open {path} within {PATIENCE} s")
        time.sleep(0.01)
