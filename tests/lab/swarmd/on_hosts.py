"""Commands typed on a lab's hosts, and what they answer."""

from __future__ import annotations

import subprocess
import time

from provisioner.machines import ssh
from provisioner.state import LabFolder

WITHIN = 60.0
ROLES = "docker node ls --format '{{.Hostname}} {{.ManagerStatus}}'"


def run(lab: LabFolder, host: str, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(ssh.argv(lab, host, [command]), capture_output=True, text=True, timeout=120, check=False)


def on(lab: LabFolder, host: str, command: str) -> str:
    """What a command that succeeds prints, without the ends' white space."""
    done = run(lab, host, command)
    assert done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def refused(lab: LabFolder, host: str, command: str) -> str:
    """The words of a command that fails."""
    done = run(lab, host, command)
    assert done.returncode != 0, f"{host}: {command}: {done.stdout}"
    return done.stderr.strip()


def until(lab: LabFolder, host: str, command: str, wanted: str, *, within: float = WITHIN) -> None:
    """Ask until the answer's lines, sorted, are these."""
    end = time.monotonic() + within
    while (seen := _lines(run(lab, host, command).stdout)) != _lines(wanted):
        assert time.monotonic() < end, f"{host}: {command}: after {within} s still {seen}, not {_lines(wanted)}"
        time.sleep(0.2)


def _lines(text: str) -> list[str]:
    return sorted(line.strip() for line in text.splitlines() if line.strip())
