"""Measure virtual machines as a user has them, emulated where KVM does not work.

python -m bench.vagrant [--runs N]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bench.measuring import Row, Runner, show, workplace
from provisioner import state
from provisioner.chaos.outcome import Outcome, from_json
from provisioner.chaos.timeline import FIRST_WRITE, KILLED, RECOVERY, RESTORED
from provisioner.machines.vagrant import choice
from provisioner.machines.vagrant.provider import VagrantProvider
from provisioner.progress import Progress
from provisioner.state import LabFolder

UP = ("up", "--provider", "vagrant", "--isolated", "--offline", "--no-verify")
SCENARIO = "kill-leader"


def stages(stderr: str) -> dict[str, float]:
    """The stages of a command, with their seconds."""
    return {name: float(seconds) for name, seconds in re.findall(r"^✓ (.*) ([0-9.]+) s$", stderr, re.MULTILINE)}


class VagrantBench(Runner):
    def run(self) -> list[Row]:
        booted = {
            count: Row(f"up of {count}: until ssh answers on all", f"≤ {goal} s") for count, goal in _GOALS.items()
        }
        docker = Row("Docker active on three, from the same start", "≤ 75 s")
        formed = Row("up --managers 3 from nothing but the box", "≤ 180 s")
        suspended, resumed = Row("suspend of three", "≤ 15 s"), Row("resume of three", "≤ 15 s")
        healthy = Row("from resume until the swarm is as before", "printed")
        write = Row("manager pulled → write accepted", "printed (13-14 s)")
        back = Row("pulled machine started → back in the swarm", "≤ 60 s")
        for _ in range(self.runs):
            for count, row in booted.items():
                with self.fresh_home("packages", "boxes") as home:
                    if count < max(booted):
                        row.values.append(boot(home, count))
                        continue
                    began, started = time.time(), time.monotonic()
                    done = self.provision(*UP, "--managers", str(count), home=home)
                    formed.values.append(time.monotonic() - started)
                    row.values.append(_first(stages(done.stderr), "Starting"))
                    docker.values.append(self._docker_active(home) - began)
                    suspended.values.append(_first(stages(self.provision("suspend", home=home).stderr), "Saving"))
                    said = stages(self.provision("resume", home=home).stderr)
                    resumed.values.append(_first(said, "Resuming"))
                    healthy.values.append(_first(said, "Resuming") + _first(said, "Waiting"))
                    report = json.loads(self.provision("chaos", SCENARIO, "--json", home=home).stdout)
                    outcome = from_json(report["data"][SCENARIO])
                    write.values.append(_moment(outcome, FIRST_WRITE) - _moment(outcome, KILLED))
                    back.values.append(_moment(outcome, RESTORED) - _moment(outcome, RECOVERY))
        return [*booted.values(), docker, formed, suspended, resumed, healthy, write, back]

    def _docker_active(self, home: Path) -> float:
        """When Docker was active on the last of three machines, in seconds since 1970."""
        moments = []
        for number in (1, 2, 3):
            show_unit = "systemctl show docker --property=ActiveEnterTimestamp --value --timestamp=us+utc"
            text = self.provision("ssh", f"manager{number}", "--", show_unit, home=home).stdout.strip()
            _, day, clock, _ = text.split()
            moments.append(datetime.fromisoformat(f"{day} {clock}+00:00").timestamp())
        return max(moments)


def boot(home: Path, count: int) -> float:
    """Make machines and boot them until ssh answers, without any playbook; the seconds. `down` takes them away."""
    lab = LabFolder(home, "lab")
    with home_is(home):
        spec, _ = choice.describe(
            lab, {"hypervisor": "libvirt", "isolated": True}, {"managers": count, "offline": True}
        )
        provider = VagrantProvider(lab, state.create(lab, spec))
        progress = Progress(quiet=True)
        with provider.working():
            started = time.monotonic()
            failures = provider.create(progress)
            seconds = time.monotonic() - started
    if failures:
        raise SystemExit("\n".join(failures.values()))
    return seconds


@contextmanager
def home_is(home: Path) -> Iterator[None]:
    before = os.environ.get(state.HOME_VARIABLE)
    os.environ[state.HOME_VARIABLE] = str(home)
    try:
        yield
    finally:
        del os.environ[state.HOME_VARIABLE]
        if before is not None:
            os.environ[state.HOME_VARIABLE] = before


_GOALS = {1: 30, 2: 45, 3: 65}


def _first(said: dict[str, float], begin: str) -> float:
    return next(seconds for name, seconds in said.items() if name.startswith(begin))


def _moment(outcome: Outcome, name: str) -> float:
    return next(event.seconds for event in outcome.events if event.name == name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.vagrant")
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    with workplace() as folder:
        bench = VagrantBench(folder, asked.runs)
        bench.provision("box", "build", home=state.home())
        show(bench.run())


if __name__ == "__main__":
    main()
