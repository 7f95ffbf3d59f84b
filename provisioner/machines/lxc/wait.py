"""Waiting for hosts to boot: ends on no progress, not on a fixed time, and shows the console's last lines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from provisioner import command
from provisioner.machines import consoles, ssh
from provisioner.machines.lxc.container import Container
from provisioner.progress import Progress
from provisioner.state import LabFolder

STALLED_SECONDS = 60
INTERVAL_SECONDS = 0.1


def for_ssh(lab: LabFolder, containers: Sequence[Container], progress: Progress) -> dict[str, str]:
    """Wait until ssh answers on all, and return the reason for each on which it did not: host name -> sentence."""
    with ThreadPoolExecutor(max(1, len(containers))) as pool:
        reasons = pool.map(lambda container: _for_one(lab, container, progress), containers)
        return {c.name: reason for c, reason in zip(containers, reasons, strict=True) if reason}


def _for_one(lab: LabFolder, container: Container, progress: Progress) -> str:
    activity, since = -1, time.monotonic()
    while True:
        answer = command.run(ssh.argv(lab, container.name, ["true"]), check=False, timeout=30)
        if answer.status == 0:
            progress.host(container.name, "ssh answers")
            return ""
        if not container.is_running():
            return (
                f"{container.name} ended while it booted; its console's last lines:\n{console_tail(container.console)}"
            )
        now = _activity(container)
        if now != activity:
            activity, since = now, time.monotonic()
            progress.host(container.name, consoles.last_line(container.console) or "booting")
        if time.monotonic() - since > STALLED_SECONDS:
            return (
                f"{container.name} does not come up: nothing has happened on it for {STALLED_SECONDS} s, and ssh says "
                f"{(answer.stderr.strip() or 'nothing')!r}; its console's last lines:\n"
                + console_tail(container.console)
            )
        time.sleep(INTERVAL_SECONDS)


def _activity(container: Container) -> int:
    """A number that changes while a host does something: what it has written, and its processes."""
    written = container.console.stat().st_size if container.console.exists() else 0
    return hash((written, tuple(container.cgroup.processes(f"host/{container.name}"))))


def console_tail(console: Path) -> str:
    return consoles.tail(console) or "  (nothing)"
