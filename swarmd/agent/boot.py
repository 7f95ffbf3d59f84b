"""When this machine, or the system container that stands for one, was started."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path


def booted_at(proc: Path = Path("/proc")) -> datetime:
    """When process 1 began: a system container shares its kernel's boot, but not this.

    By the wall clock, to within its steps since then; see proc(5), ``starttime`` and ``btime``.
    """
    fields = (proc / "1" / "stat").read_text().rpartition(")")[2].split()
    since_kernel = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    kernel = next(line for line in (proc / "stat").read_text().splitlines() if line.startswith("btime "))
    return datetime.fromtimestamp(int(kernel.split()[1]), UTC) + timedelta(seconds=since_kernel)
