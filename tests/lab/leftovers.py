"""What a lab may have left on the machine, found by its marks: its folder's path and its cgroup's name."""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """The machine's own network, which labs never touch. Equal before and after."""

    links: str
    rules: str
    routes: str
    forwarding: str


def machine() -> Machine:
    return Machine(
        links=_output("ip", "-brief", "link"),
        rules=_output("nft", "list", "ruleset"),
        routes=_output("ip", "route"),
        forwarding=Path("/proc/sys/net/ipv4/ip_forward").read_text(),
    )


@dataclass(frozen=True)
class Leftovers:
    processes: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    cgroups: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def of_home(home: Path, lab: str) -> Leftovers:
    """Everything that bears the mark of a PROVISION_HOME of the test's own, or of the lab. Its caches may stay."""
    mark = str(home)
    return Leftovers(
        processes=_processes(mark),
        mounts=[line for line in Path("/proc/self/mounts").read_text().splitlines() if mark in line],
        loops=[line for line in _output("losetup", "--list", "--noheadings").splitlines() if mark in line],
        cgroups=[str(path) for path in cgroups_of(lab)],
        files=[str(p) for p in home.glob("**/*") if "cache" not in p.parts and not _is_empty_top(p, home)]
        + [str(p) for p in home.glob("cache/*/.*")],
    )


def _is_empty_top(path: Path, home: Path) -> bool:
    """The folders `labs` and `locks` themselves stay, empty."""
    return path.parent == home and path.is_dir() and not any(path.iterdir())


def _processes(mark: str) -> list[str]:
    """By environment: what a lab starts inherits PROVISION_HOME."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                found.append(f"{process.name} {(process / 'comm').read_text().strip()}")
    return found


def cgroups_of(lab: str) -> list[Path]:
    return [path for top in (CGROUPS, *CGROUPS.iterdir()) for path in top.glob(f"provision/{lab}.*") if path.is_dir()]


def _output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout
