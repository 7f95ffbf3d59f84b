"""A lab under measurement: its Docker sockets as this machine reaches them, its hosts' processes, and their shells."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.measuring import Runner
from provisioner import state
from provisioner.chaos import healing
from provisioner.machines import ssh
from provisioner.machines.lxc.provider import LxcProvider

SPARE = "worker1"
"""The host that leaves and joins."""
PATIENCE = 0.25
"""Seconds for one attempt of a client that asks again: without a leader, Docker lets a call hang for up to 20 s."""
PREFIX = "bench-"
SWARMD = {"daemon": ("-m", "swarmd"), "front": ("-m", "swarmd.front"), "supervisor": ("-m", "swarmd.supervisor")}


class Socket(http.client.HTTPConnection):
    """HTTP to a unix socket, kept open over requests."""

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def ask(self, method: str, target: str, body: object = None) -> tuple[int, Any]:
        """
        :raises OSError, http.client.HTTPException: no answer, or not in time.
        """
        sent = None if body is None else json.dumps(body)
        self.request(method, target, sent, {"Content-Type": "application/json"} if sent else {})
        answer = self.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text[:1] in (b"{", b"[", b'"') else None


@contextmanager
def connected(path: Path, timeout: float = 30.0) -> Iterator[Socket]:
    connection = Socket(path, timeout)
    try:
        yield connection
    finally:
        connection.close()


def ask(path: Path, method: str, target: str, body: object = None, *, timeout: float = 30.0) -> tuple[int, Any]:
    with connected(path, timeout) as connection:
        return connection.ask(method, target, body)


@dataclass(frozen=True)
class Process:
    pid: int
    argv: tuple[str, ...]

    @property
    def role(self) -> str:
        """daemon, front, supervisor: swarmd's; etcd; dockerd; empty: none of these."""
        program = Path(self.argv[0]).name
        if program in {"etcd", "dockerd"}:
            return program
        return next((role for role, words in SWARMD.items() if self.argv[1:3] == words), "")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, kind: str = "Pss") -> float:
        """MB, of smaps_rollup (proc(5))."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) * 1024 / 1e6


class Lab:
    """Three managers and a spare worker on one engine."""

    def __init__(self, runner: Runner, home: Path, engine: str) -> None:
        self.engine = engine
        self._runner, self._home = runner, home
        self.folder = state.LabFolder(home, engine)

    def up(self) -> None:
        name = ("--name", self.engine)
        hosts = ("--managers", "3", "--workers", "1", "--offline", "--no-verify", "--quiet")
        self._runner.provision("up", *name, *hosts, "--engine", self.engine, home=self._home)
        self._runner.provision("images", "load", "--quiet", *name, home=self._home)
        record = state.load(self.folder)
        self.spec, self.provider = record.spec, LxcProvider(self.folder, record)

    @property
    def managers(self) -> list[str]:
        return [host.name for host in self.spec.managers]

    def socket(self, host: str) -> Path:
        return next(machine.docker_socket for machine in self.provider.machines() if machine.name == host)

    def engine_socket(self, host: str) -> Path:
        """The engine's own, behind swarmd's front."""
        init = next(pid for pid in self._pids(host) if _namespace_pid(pid) == 1)
        return Path(f"/proc/{init}/root/run/docker-engine.sock")

    def leader(self) -> str:
        name: str = until(self._leader, f"{self.engine}: no leader")
        return name

    def _leader(self) -> str:
        for host in self.managers:
            try:
                status, nodes = ask(self.socket(host), "GET", "/nodes", timeout=2.0)
            except (OSError, http.client.HTTPException):
                continue
            if status == 200:
                leading = [node for node in nodes if node.get("ManagerStatus", {}).get("Leader")]
                return leading[0]["Description"]["Hostname"] if leading else ""
        return ""

    def other_manager(self, host: str) -> str:
        return next(name for name in self.managers if name != host)

    def shell(self, host: str, command: str) -> str:
        argv = ssh.argv(self.folder, host, [command])
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{self.engine} {host}: {command}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def node(self, host: str) -> dict[str, Any] | None:
        """The newest entry of a host as its leader shows it."""
        _, nodes = ask(self.socket(self.leader()), "GET", "/nodes")
        mine = [node for node in nodes if node["Description"].get("Hostname") == host]
        return max(mine, key=lambda node: node["CreatedAt"], default=None)

    # Faults

    def power_off(self, host: str) -> None:
        self.provider.power_off([host])

    def signal(self, host: str, number: int) -> None:
        """To the daemon itself, not to its supervisor."""
        os.kill(self.process(host, "daemon").pid, number)

    def heal(self) -> None:
        """Every host on, the swarm as the spec asks, and nothing left of the measurement."""
        off = [machine.name for machine in self.provider.machines() if machine.state != "running"]
        if off:
            self._runner.provision("start", *off, "--name", self.engine, "--quiet", home=self._home)
        healing.wait_until_healthy(self.spec, self.provider, within=240)
        self.remove_services()
        time.sleep(3.0)

    def remove_services(self) -> None:
        def removed() -> bool:
            try:
                path = self.socket(self.leader())
                _, services = ask(path, "GET", "/services")
                mine = [service["ID"] for service in services if service["Spec"]["Name"].startswith(PREFIX)]
                for identity in mine:
                    ask(path, "DELETE", f"/services/{identity}")
            except (OSError, http.client.HTTPException, TypeError):
                return False
            return not mine

        until(removed, f"{self.engine}: services are left")

    # Processes

    def process(self, host: str, which: str) -> Process:
        return self.processes(host, which)[0]

    def processes(self, host: str, *which: str) -> list[Process]:
        every = [Process(pid, _argv(pid)) for pid in self._pids(host)]
        found = [process for process in every if process.role in which]
        if len(found) < len(which):
            raise SystemExit(f"{self.engine} {host}: not all of {', '.join(which)} run")
        return found

    def _pids(self, host: str) -> list[int]:
        return self.provider.cgroup.processes(f"host/{host}")


def until(look: Callable[[], Any], otherwise: str, *, within: float = 120.0, every: float = 0.2) -> Any:  # noqa: ANN401
    """What ``look`` says as soon as it says anything."""
    end = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > end:
            raise SystemExit(f"{otherwise} after {within:g} s")
        time.sleep(every)
    return seen


def tasks_of(service: str) -> str:
    return f"/tasks?filters={quote(json.dumps({'service': [service]}))}"


def _argv(pid: int) -> tuple[str, ...]:
    try:
        return tuple(Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0"))
    except OSError:
        return ("",)


def _namespace_pid(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[-1]) for line in lines if line.startswith("NSpid:"))
