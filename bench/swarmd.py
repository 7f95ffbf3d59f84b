"""Measure swarmd beside Docker's own swarm mode, on hosts of the same kind, in one run, the engines in turns.

    python -m bench.swarmd [--rounds N] [--only PART,PART] [--long] [--minutes N]

A row without Docker's figure compares with the engine's own socket, where it says so, or with nothing.
"""

from __future__ import annotations

import argparse
import http.client
import json
import secrets
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import load
from bench.lab import PATIENCE, PREFIX, SPARE, Lab, ask, connected, tasks_of, until
from bench.measuring import Row, Runner, workplace

PARTS = ("failover", "killed", "hung", "join", "nodes", "images", "archive", "idle")
LONG_PARTS = ("busy", "churn")
POLL = 0.02
CALLS = 200
ARCHIVE_MB = 500
IDLE_SECONDS = 30


class Pair:
    """One thing, measured on both engines."""

    def __init__(self, what: str, goal: str, *, unit: str = "s", digits: int = 2, more_is_better: bool = False) -> None:
        self.what, self.goal, self.unit, self.digits = what, goal, unit, digits
        self.worst = min if more_is_better else max
        self.rows = {engine: Row(what, goal, unit=unit) for engine in ("swarmd", "docker")}

    def add(self, engine: str, value: float) -> None:
        self.rows[engine].values.append(value)

    def words(self) -> tuple[str, ...]:
        ours, theirs = (self.rows[engine].values for engine in ("swarmd", "docker"))
        ratio = f"{statistics.median(ours) / statistics.median(theirs):.3g}" if ours and theirs else ""
        return (self.what, *self._figures(ours), *self._figures(theirs), ratio, self.goal)

    def _figures(self, values: list[float]) -> tuple[str, str, str]:
        if not values:
            return "", "", ""
        median, worst = statistics.median(values), self.worst(values)
        return f"{median:.{self.digits}f} {self.unit}", f"{worst:.{self.digits}f} {self.unit}", str(len(values))


class Duel:
    """
    :param rounds: of each part; None: 10 for failover, 5 for the others.
    """

    def __init__(self, labs: dict[str, Lab], rounds: int | None, minutes: float) -> None:
        self.labs, self._rounds, self._minutes = labs, rounds, minutes
        self.swarmd = labs["swarmd"]

    def _turns(self, usual: int = 5) -> Iterator[Lab]:
        for _ in range(self._rounds or usual):
            yield from self.labs.values()

    # Leaders that go

    def failover(self) -> list[Pair]:
        write = Pair("leader's host off → write accepted elsewhere", "median ≤ 0.6, worst ≤ 1.5, ratio ≤ 0.067")
        placed = Pair("leader's host off → a service placed", "median ≤ 0.7, worst ≤ 1.5")
        for lab in self._turns(10):
            _lose_leader(lab, lab.power_off, write, placed)
        return [write, placed]

    def killed(self) -> list[Pair]:
        return self._daemon("leader's swarmd killed", signal.SIGKILL, "worst ≤ 0.5")

    def hung(self) -> list[Pair]:
        return self._daemon("leader's swarmd hung", signal.SIGSTOP, "worst ≤ 3")

    def _daemon(self, what: str, number: int, goal: str) -> list[Pair]:
        write, placed = Pair(f"{what} → write accepted elsewhere", goal), Pair(f"{what} → a service placed", goal)
        for _ in range(self._rounds or 5):
            _lose_leader(self.swarmd, lambda host: self.swarmd.signal(host, number), write, placed)
        return [write, placed]

    # Joining

    def join(self) -> list[Pair]:
        pairs = {
            "worker": Pair("docker swarm join, as worker", "ratio ≤ 1.2"),
            "manager": Pair("docker swarm join, as manager", "median ≤ 1.5"),
        }
        for lab in self._turns():
            for role, pair in pairs.items():
                _leave(lab)
                pair.add(lab.engine, _join(lab, role))
            _leave(lab)
            _join(lab, "worker")
        return list(pairs.values())

    # Calls

    def nodes(self) -> list[Pair]:
        """Through all managers in turn: two of three ask the leader or the quorum."""
        middle, slow = _latencies("GET /nodes", "≤ 10 ms")
        for lab in self._turns():
            sockets = [lab.socket(host) for host in lab.managers]
            times = sorted(seconds for path in sockets for seconds in _timed(path, "/nodes", CALLS // len(sockets)))
            _note(middle, slow, lab.engine, times)
        return [middle, slow]

    def images(self) -> list[Pair]:
        middle, slow = _latencies("GET /images/json, front / engine's socket", "p50 + ≤ 0.5 ms")
        host = self.swarmd.managers[0]
        for _ in range(self._rounds or 5):
            for engine, path in (("swarmd", self.swarmd.socket(host)), ("docker", self.swarmd.engine_socket(host))):
                _note(middle, slow, engine, sorted(_timed(path, "/images/json", CALLS)))
        return [middle, slow]

    def archive(self) -> list[Pair]:
        goal = "ratio ≥ 0.6"
        size = f"archive of {ARCHIVE_MB} MB"
        put = Pair(f"put {size}, front / engine's socket", goal, unit="MB/s", digits=0, more_is_better=True)
        get = Pair(f"get {size}, front / engine's socket", goal, unit="MB/s", digits=0, more_is_better=True)
        host = self.swarmd.managers[0]
        front, direct = self.swarmd.socket(host), self.swarmd.engine_socket(host)
        name = f"{PREFIX}{secrets.token_hex(4)}"
        ask(direct, "POST", f"/containers/create?name={name}", {"Image": load.IMAGE, "Cmd": ["sleep", "600"]})
        try:
            load.put(direct, name, ARCHIVE_MB)  # the first one also allocates the file
            for _ in range(self._rounds or 5):
                for engine, path in (("swarmd", front), ("docker", direct)):
                    put.add(engine, ARCHIVE_MB / load.put(path, name, ARCHIVE_MB))
                    get.add(engine, ARCHIVE_MB / load.get(path, name))
        finally:
            ask(direct, "DELETE", f"/containers/{name}?force=1")
        return [put, get]

    def idle(self) -> list[Pair]:
        """Each manager once: all of swarmd's processes on its lab (not the engine beside them), dockerd on Docker's."""
        cpu = Pair("idle manager, CPU: swarmd and etcd / dockerd", "≤ 3 %", unit="%")
        memory = Pair("idle manager, PSS of the same", "≤ 190 MB", unit="MB", digits=0)
        unshared = Pair("idle manager, USS of the same", "", unit="MB", digits=0)
        which = {"swarmd": ("daemon", "front", "supervisor", "etcd"), "docker": ("dockerd",)}
        time.sleep(20.0)
        for lab in self.labs.values():
            processes = [lab.processes(host, *which[lab.engine]) for host in lab.managers]
            before = [[process.cpu_seconds() for process in host] for host in processes]
            time.sleep(IDLE_SECONDS)
            for host, earlier in zip(processes, before, strict=True):
                shares = [
                    100 * (one.cpu_seconds() - then) / IDLE_SECONDS for one, then in zip(host, earlier, strict=True)
                ]
                cpu.add(lab.engine, sum(shares))
                memory.add(lab.engine, sum(one.memory() for one in host))
                own = sum(one.memory("Private_Clean") + one.memory("Private_Dirty") for one in host)
                unshared.add(lab.engine, own)
                each = (
                    f"{one.role} {share:.2f} % {one.memory():.0f} MB" for one, share in zip(host, shares, strict=True)
                )
                print(f"{lab.engine}: idle: {', '.join(each)}", file=sys.stderr)
        return [cpu, memory, unshared]

    # Long ones

    def busy(self) -> list[Pair]:
        what = f"{self._minutes:g} min with all cores loaded"
        return self._watched(what, "0", load.all_cores, self._minutes, self.swarmd)

    def churn(self) -> list[Pair]:
        minutes = min(5.0, self._minutes)
        return self._watched(
            f"{minutes:g} min of container churn and fsync", "≤ 1", load.churn, minutes, *self.labs.values()
        )

    def _watched(self, what: str, goal: str, under: load.Load, minutes: float, *labs: Lab) -> list[Pair]:
        changes = Pair(f"{what}: changes of leader", goal, unit="", digits=0)
        downs = Pair("  nodes that were called Down", "0", unit="", digits=0)
        lost = Pair("  acknowledged writes that were lost", "0", unit="", digits=0)
        for lab in labs:
            seen = load.watch(lab, under, minutes)
            for pair, value in ((changes, seen.changes), (downs, seen.downs), (lost, seen.lost)):
                pair.add(lab.engine, value)
            print(f"{lab.engine}: {seen.words}", file=sys.stderr)
            lab.heal()
        return [changes, downs, lost]


def _lose_leader(lab: Lab, fault: Callable[[str], None], write: Pair, placed: Pair) -> None:
    leader = lab.leader()
    path = lab.socket(lab.other_manager(leader))
    began = time.monotonic()
    fault(leader)
    service = _write(path)
    write.add(lab.engine, time.monotonic() - began)
    _until_placed(path, service)
    placed.add(lab.engine, time.monotonic() - began)
    figures = [pair.rows[lab.engine].values[-1] for pair in (write, placed)]
    print(f"{lab.engine}: {write.what}: {figures[0]:.2f} s, placed {figures[1]:.2f} s ({leader})", file=sys.stderr)
    lab.heal()


def _write(path: Path) -> str:
    """Create a service, each time another one since a call that was not answered may come to pass; returns its name."""
    while True:
        begun = time.monotonic()
        name = f"{PREFIX}{secrets.token_hex(4)}"
        template = {"ContainerSpec": {"Image": load.IMAGE, "Args": ["sleep", "600"]}}
        body = {"Name": name, "TaskTemplate": template, "Mode": {"Replicated": {"Replicas": 1}}}
        try:
            status, _ = ask(path, "POST", "/services/create", body, timeout=PATIENCE)
        except (OSError, http.client.HTTPException):
            status = 0
        if status == 201:
            return name
        time.sleep(max(0.0, begun + POLL - time.monotonic()))


def _until_placed(path: Path, service: str) -> None:
    def look() -> bool:
        try:
            status, tasks = ask(path, "GET", tasks_of(service), timeout=PATIENCE)
        except (OSError, http.client.HTTPException):
            return False
        return status == 200 and any(task.get("NodeID") for task in tasks)

    until(look, f"{service} is not placed", every=POLL)


def _leave(lab: Lab) -> None:
    """The spare host out of the swarm, as `docker node demote`, `swarm leave` and `node rm` do it."""
    leader = lab.leader()
    if (node := lab.node(SPARE)) is not None and node.get("ManagerStatus"):
        lab.shell(leader, f"docker node demote {node['ID']}")
        until(lambda: not (lab.node(SPARE) or {}).get("ManagerStatus"), f"{SPARE} is a manager still")
        asked = f"docker info --format '{{{{.Swarm.ControlAvailable}}}}' && hostname # {SPARE}"
        until(lambda: lab.shell(SPARE, asked).startswith("false"), f"{SPARE} takes itself for a manager still")
    if node is not None:
        lab.shell(SPARE, "docker swarm leave --force")
        lab.shell(lab.leader(), f"docker node rm --force {node['ID']}")
    time.sleep(1.0)


def _join(lab: Lab, role: str) -> float:
    """Seconds of the whole command, by the host's own clock."""
    leader = lab.leader()
    token = lab.shell(leader, f"docker swarm join-token --quiet {role}")
    command = f"docker swarm join --token {token} {lab.spec.host(leader).address}:2377"
    timed = f"b=$(date +%s%N); {command} >/dev/null || exit 1; e=$(date +%s%N); echo $((e - b))"
    seconds = int(lab.shell(SPARE, timed)) / 1e9
    until(lambda: (lab.node(SPARE) or {}).get("Status", {}).get("State") == "ready", f"{SPARE} is not ready")
    print(f"{lab.engine}: joined as {role}: {seconds:.2f} s", file=sys.stderr)
    time.sleep(1.0)
    return seconds


def _latencies(what: str, goal: str) -> tuple[Pair, Pair]:
    return Pair(f"{what}, p50", goal, unit="ms"), Pair(f"{what}, p95", goal, unit="ms")


def _note(middle: Pair, slow: Pair, engine: str, times: list[float]) -> None:
    middle.add(engine, 1000 * statistics.median(times))
    slow.add(engine, 1000 * times[int(0.95 * len(times))])


def _timed(path: Path, target: str, calls: int) -> list[float]:
    times = []
    with connected(path) as connection:
        connection.ask("GET", target)
        for _ in range(calls):
            begun = time.perf_counter()
            status, answer = connection.ask("GET", target)
            times.append(time.perf_counter() - begun)
            if status != 200:
                raise SystemExit(f"{path}: {target}: {status} {json.dumps(answer)}")
    return times


def show(pairs: list[Pair]) -> None:
    heads = ("measured", "swarmd", "worst", "n", "docker", "worst", "n", "ratio", "goal")
    table = Table(*heads, box=None, header_style="bold")
    for pair in pairs:
        table.add_row(*pair.words())
    Console(width=None if sys.stdout.isatty() else 180).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.swarmd")
    parser.add_argument("--rounds", type=int, help="of each part (default: 10 for failover, 5 for the others)")
    parser.add_argument("--only", default="", metavar="PART,PART", help=", ".join((*PARTS, *LONG_PARTS)))
    parser.add_argument("--long", action="store_true", help="also busy (swarmd alone) and churn (both): 40 minutes")
    parser.add_argument("--minutes", type=float, default=30.0, help="of busy (default: 30)")
    asked = parser.parse_args()
    parts = asked.only.split(",") if asked.only else [*PARTS, *(LONG_PARTS if asked.long else ())]
    if unknown := set(parts) - {*PARTS, *LONG_PARTS}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    with workplace() as folder:
        runner = Runner(folder, 0)
        with runner.fresh_home("packages", "base", "converged", "containers", "swarmd") as home:
            labs = {engine: Lab(runner, home, engine) for engine in ("swarmd", "docker")}
            for lab in labs.values():
                lab.up()
            duel = Duel(labs, asked.rounds, asked.minutes)
            pairs: list[Pair] = []
            try:
                for part in parts:
                    pairs += getattr(duel, part)()
            finally:
                show(pairs)


if __name__ == "__main__":
    main()
