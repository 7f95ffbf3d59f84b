"""Real etcd members on loopback for tests, timed as in the product: clients by a unix socket, peers by TCP."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 20


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@dataclass
class Member:
    """One etcd: its process may be killed, stopped and started again; its data stay."""

    program: Path
    folder: Path
    name: str
    peer_url: str
    arguments: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "c.sock"

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until its client port takes connections (etcd opens it once there is a quorum)."""
        assert self.process is None
        assert len(str(self.socket)) <= 107
        self.socket.unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.program, *self.arguments], stdout=log, stderr=log, cwd=self.folder)
        if wait:
            self.wait()

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.socket))
                return
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()  # also ends a stopped one
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


class Members:
    """Makes members, and ends them all with the test."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.made: list[Member] = []

    def member(
        self,
        name: str = "m1",
        peers: dict[str, str] | None = None,
        *,
        state: str = "new",
        extra: Sequence[str] = (),
    ) -> Member:
        """A member that is not started yet. ``peers``: name to peer URL of all, itself included; alone if absent."""
        peers = peers or {name: f"http://{free_address()}"}
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        member = Member(self.program, folder, name, peers[name])
        member.arguments = [
            f"--name={name}", f"--data-dir={folder / 'data'}",
            f"--listen-client-urls=unix://{member.socket}", "--advertise-client-urls=http://127.0.0.1:2379",
            f"--listen-peer-urls={member.peer_url}", f"--initial-advertise-peer-urls={member.peer_url}",
            f"--initial-cluster={','.join(f'{n}={url}' for n, url in peers.items())}",
            f"--initial-cluster-state={state}", "--heartbeat-interval=50", "--election-timeout=300",
            "--strict-reconfig-check=false", "--max-txn-ops=4096", "--max-request-bytes=8388608",
            "--logger=zap", "--log-level=warn", *extra,
        ]  # fmt: skip
        self.made.append(member)
        return member

    def start(
        self, name: str = "m1", peers: dict[str, str] | None = None, *, state: str = "new", extra: Sequence[str] = ()
    ) -> Member:
        member = self.member(name, peers, state=state, extra=extra)
        member.start()
        return member

    def cluster(self, size: int) -> list[Member]:
        """Members m1, m2, …, all of one new cluster and started."""
        peers = {f"m{number}": f"http://{free_address()}" for number in range(1, size + 1)}
        members = [self.member(name, peers) for name in peers]
        for member in members:
            member.start(wait=False)
        for member in members:
            member.wait()
        return members

    def close(self) -> None:
        for member in self.made:
            member.kill()
