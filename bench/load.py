"""What weighs on a lab while it is watched: busy cores, containers that come and go, fsync, and bytes in archives."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.lab import Lab, ask, connected
from provisioner.chaos import healing, workload
from provisioner.chaos.history import History
from provisioner.chaos.timeline import stopwatch
from provisioner.chaos.verdict import judge
from provisioner.machines import ssh
from provisioner.swarm import connect

IMAGE = "busybox:latest"
BLOCK = os.urandom(1 << 20)
LOOK = 0.5
"""Seconds between two looks at a watched lab."""

Load = Callable[[Lab], AbstractContextManager[None]]


# Archives


def put(path: Path, container: str, megabytes: int) -> float:
    """Seconds to unpack a file of so many MB in a container, sent as `docker cp` sends it: in chunks."""
    with connected(path, 120.0) as connection:
        begun = time.perf_counter()
        target = f"/containers/{container}/archive?path=/"
        headers = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
        connection.request("PUT", target, _tar(megabytes), headers, encode_chunked=True)
        answer = connection.getresponse()
        text = answer.read()
        seconds = time.perf_counter() - begun
    if answer.status != 200:
        raise SystemExit(f"PUT archive: {answer.status} {text.decode()}")
    return seconds


def get(path: Path, container: str) -> float:
    with connected(path, 120.0) as connection:
        begun = time.perf_counter()
        connection.request("GET", f"/containers/{container}/archive?path=/file")
        answer = connection.getresponse()
        while answer.read(1 << 20):
            pass
        seconds = time.perf_counter() - begun
    if answer.status != 200:
        raise SystemExit(f"GET archive: {answer.status}")
    return seconds


def _tar(megabytes: int) -> Iterator[bytes]:
    entry = tarfile.TarInfo("file")
    entry.size = megabytes * 1_000_000
    yield entry.tobuf()
    left = entry.size
    while left:
        piece = BLOCK[: min(left, len(BLOCK))]
        left -= len(piece)
        yield piece
    yield bytes(-entry.size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


# Weights


@contextmanager
def all_cores(_: Lab) -> Iterator[None]:
    """Two busy processes for each core of this machine, at the hosts' own priority."""
    with ExitStack() as stack:
        for _number in range(2 * (os.cpu_count() or 1)):
            stack.enter_context(_running([sys.executable, "-c", "while True: pass"]))
        yield


@contextmanager
def churn(lab: Lab) -> Iterator[None]:
    """On each manager: containers started and removed one after another, and a writer that waits for the disk."""
    ended = threading.Event()
    threads = [threading.Thread(target=_churn, args=(lab.socket(host), ended)) for host in lab.managers]
    fsync = "while :; do dd if=/dev/zero of=/root/fsync bs=4k count=64 oflag=dsync status=none; done"
    with ExitStack() as stack:
        for host in lab.managers:
            # With a terminal, so that the loop ends with its ssh.
            stack.enter_context(_running(ssh.argv(lab.folder, host, [fsync], options=["-tt", "-S", "none"])))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()


def _churn(path: Path, ended: threading.Event) -> None:
    while not ended.is_set():
        with contextlib.suppress(OSError, http.client.HTTPException, TypeError):
            _, made = ask(path, "POST", "/containers/create", {"Image": IMAGE, "Cmd": ["true"]})
            ask(path, "POST", f"/containers/{made['Id']}/start")
            ask(path, "DELETE", f"/containers/{made['Id']}?force=1")


@contextmanager
def _running(argv: list[str]) -> Iterator[None]:
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


# Watching


@dataclass
class Seen:
    changes: int = 0
    downs: int = 0
    lost: int = 0
    words: str = ""


def watch(lab: Lab, under: Load, minutes: float) -> Seen:
    """A lab with its writers for so long under a load: changes of leader, nodes called Down, writes that were lost."""
    seen = Seen()
    machines = [machine for machine in lab.provider.machines() if machine.spec.role == "manager"]
    with tempfile.TemporaryDirectory() as folder, History(Path(folder) / "history", stopwatch()) as history:
        with connect(machines[0], 10.0) as client:
            workload.create_services(client, lab.managers)
        with workload.Writers(machines, history), under(lab):
            end = time.monotonic() + 60 * minutes
            leader, down = "", frozenset[str]()
            while time.monotonic() < end:
                time.sleep(LOOK)
                found = _look(machines[0].docker_socket)
                if found is None:
                    continue
                seen.changes += bool(leader and found[0] and found[0] != leader)
                seen.downs += len(found[1] - down)
                leader, down = found[0] or leader, found[1]
        found_writes = {}
        for machine in machines:
            with connect(machine, 30.0) as client:
                found_writes[machine.name] = workload.read_writes(client, lab.managers)
        verdict = judge(history.operations(), found_writes)
    seen.lost, seen.words = len(verdict.lost), verdict.words()
    healing.remove_leftovers(lab.spec, machines[0])
    return seen


def _look(path: Path) -> tuple[str, frozenset[str]] | None:
    """The leader's id and the ids of nodes that are Down; None: no answer."""
    try:
        status, nodes = ask(path, "GET", "/nodes", timeout=5.0)
    except (OSError, http.client.HTTPException, json.JSONDecodeError):
        return None
    if status != 200:
        return None
    leader = next((node["ID"] for node in nodes if node.get("ManagerStatus", {}).get("Leader")), "")
    return leader, frozenset(node["ID"] for node in nodes if node["Status"]["State"] == "down")
