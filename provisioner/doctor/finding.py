"""One thing that was looked at on this machine, and the looks that providers share."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from provisioner import state

Verdict = Literal["ok", "advice", "missing"]


@dataclass(frozen=True)
class Finding:
    provider: str
    subject: str
    verdict: Verdict
    seen: str
    consequence: str = ""
    """What does not work as it is."""
    cure: str = ""
    """The command that mends it; empty where there is none."""


def programs(provider: str, wanted: Mapping[str, str], consequence: str) -> Finding:
    """:param wanted: program -> the Debian package that has it."""
    absent = {program: package for program, package in wanted.items() if shutil.which(program) is None}
    if not absent:
        return Finding(provider, "programs", "ok", f"all {len(wanted)} are there")
    packages = " ".join(sorted(set(absent.values())))
    return Finding(
        provider, "programs", "missing", f"{', '.join(absent)} not found", consequence,
        f"apt-get install --no-install-recommends {packages}",
    )  # fmt: skip


def memory(provider: str, *, needed: int, per_host: int) -> Finding:
    """:param needed: MiB for a lab of three.
    :param per_host: MiB that each host takes.
    """
    available = _available_mib()
    if available is None:
        return Finding(provider, "memory", "ok", f"each host takes about {per_host} MiB")
    hosts = available // per_host
    if available >= needed:
        return Finding(provider, "memory", "ok", f"{available} MiB available: enough for about {hosts} idle hosts")
    return Finding(provider, "memory", "advice", f"{available} MiB available", f"room for {hosts} idle hosts, no more")


def _available_mib() -> int | None:
    if not sys.platform.startswith("linux"):
        return None
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) >> 10


def disk(provider: str, *, needed: int) -> Finding:
    """:param needed: GiB for a first lab of three, its caches included."""
    place = state.home()
    while not os.access(place, os.F_OK):
        place = place.parent
    free = shutil.disk_usage(place).free
    seen = f"{free / (1 << 30):.1f} GiB free at {place}"
    if free >= needed << 30:
        return Finding(provider, "disk", "ok", seen)
    if free >= 1 << 30:
        return Finding(provider, "disk", "advice", seen, f"a first lab with its images takes about {needed} GiB")
    return Finding(provider, "disk", "missing", seen, "no base image can be built", "provision cache prune")
