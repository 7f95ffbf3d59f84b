"""Measure `provision` as a user runs it, and print a table of medians and worst cases beside the goals.

    python -m bench [--runs N] [--only WORD]

Package caches are warm; every run has a PROVISION_HOME of its own, so nothing else is.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.measuring import Row, Runner, show, workplace
from provisioner import state
from provisioner.machines.namespaces.cgroup import LabCgroup

UP = ("up", "--managers", "3", "--offline", "--no-verify", "--quiet")
PARTS = ("bring_up", "daily", "size", "side_by_side")


class Bench(Runner):
    def bring_up(self) -> list[Row]:
        cases = [
            Row("up --managers 3, from nothing", "≤ 120 s"),
            Row("up --managers 3, base image cached", "≤ 60 s"),
            Row("up --managers 3, converged image cached", "≤ 8 s"),
        ]
        kept = [("packages",), ("packages", "base"), ("packages", "base", "converged")]
        for _ in range(self.runs):
            for row, caches in zip(cases, kept, strict=True):
                with self.fresh_home(*caches) as home:
                    row.values.append(self.seconds(*UP, home=home))
        return cases

    def daily(self) -> list[Row]:
        rows = [
            Row("up on a healthy lab", "≤ 5 s"),
            Row("status", "≤ 1.5 s"),
            Row("loading busybox and tomcat into three hosts", "measure"),
            Row("verify, all suites but failover, images loaded", "≤ 45 s"),
            Row("down of three hosts", "≤ 3 s"),
        ]
        for _ in range(self.runs):
            with self.fresh_home("packages", "base", "converged", "containers") as home:
                self.provision(*UP, home=home)
                rows[0].values.append(self.seconds(*UP, home=home))
                rows[1].values.append(self.seconds("status", home=home))
                rows[2].values.append(self.seconds("images", "load", "-q", home=home))
                rows[3].values.append(self.seconds("verify", "-q", home=home))
                rows[4].values.append(self.seconds("down", "-q", home=home))
        return rows

    def size(self) -> list[Row]:
        memory = Row("memory of an idle manager host, working set", "≤ 130 MB", unit="MB")
        disk = Row("disk per host on a converged image, before images", "≤ 20 MB", unit="MB")
        with self.fresh_home("packages", "base", "converged") as home:
            self.provision(*UP, home=home)
            time.sleep(20)  # until Docker is idle after its start
            lab = state.LabFolder(home, "lab")
            cgroup = LabCgroup(f"lab.{lab.identity.read_text().strip()}")
            memory.values = [working_set(cgroup, f"manager{n}") / 1e6 for n in (1, 2, 3)]
            disk.values = [written(lab) / 3 / 1e6]
        return [memory, disk]

    def side_by_side(self) -> list[Row]:
        """Five labs at once: made one after another, verified one after another while all are up."""
        up, verified = Row("each of five labs, up", "all verified"), Row("verify of each, all five up", "all verified")
        memory = Row("memory of all five labs", "printed", unit="MB")
        names = [f"lab{n}" for n in range(1, 6)]
        with self.fresh_home("packages", "base", "converged", "containers") as home:
            before = available()
            for name in names:
                up.values.append(self.seconds(*UP, "--name", name, home=home))
            for name in names:
                verified.values.append(self.seconds("verify", "-q", "--name", name, home=home))
            memory.values = [before - available()]
            with ThreadPoolExecutor(5) as pool:
                statuses = pool.map(lambda name: self.provision("status", "--json", "--name", name, home=home), names)
                assert all(json.loads(status.stdout)["quorum"]["kept"] for status in statuses)  # noqa: S101
        return [up, verified, memory]


def working_set(cgroup: LabCgroup, host: str) -> float:
    """Bytes a host holds in memory: all but the page cache that the kernel may drop at once, as `docker stats`."""
    folder = next((h for h in cgroup.hierarchies if h.name == "memory"), cgroup.main) / cgroup.path / "host" / host
    usage = folder / ("memory.current" if cgroup.v2 else "memory.usage_in_bytes")
    statistic = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    inactive = statistic["inactive_file" if cgroup.v2 else "total_inactive_file"]
    return int(usage.read_text()) - int(inactive)


def written(lab: state.LabFolder) -> float:
    """Bytes that a lab's file system takes on the machine's disk. `du` inside of it would count what etcd's log only
    reserves (two segments of 62 MB), which a sparse file does not hold."""
    os.sync()
    return (lab.path / "disk.img").stat().st_blocks * 512


def available() -> float:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=PARTS)
    asked = parser.parse_args()
    with workplace() as folder:
        bench = Bench(folder, asked.runs)
        bench.provision("images", "build", "-q", home=state.home())
        warm_up(bench)
        rows: list[Row] = []
        for part in [asked.only] if asked.only else PARTS:
            rows += getattr(bench, part)()
    show(rows)


def warm_up(bench: Bench) -> None:
    """Have the packages and images that the measured runs find."""
    bench.provision(*UP, "--name", "warm-up", home=state.home())
    bench.provision("down", "--name", "warm-up", home=state.home())


if __name__ == "__main__":
    main()
