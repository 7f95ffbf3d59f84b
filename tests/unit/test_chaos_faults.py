"""Faults that leave a host on: each is one ssh to that host; here ssh is a program that writes down what it is told."""

import os
import re
import subprocess

import pytest
from fake_engine import machine

from provisioner import state
from provisioner.chaos.faults import DIRECTIONS, LONGEST, Faults
from provisioner.lab import describe

SSH = """#!/bin/sh
for word; do last=$word; done
printf '%s\\n---\\n' "$last" >> "{told}"
"""


class Machines:
    def __init__(self, *machines):
        self._machines = machines
        self.thawed = []

    def machines(self):
        return list(self._machines)

    def thaw(self, names):
        self.thawed += names


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What hosts were told, one text each."""
    (tmp_path / "bin").mkdir()
    ssh, file = tmp_path / "bin" / "ssh", tmp_path / "told"
    ssh.write_text(SSH.format(told=file))
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    monkeypatch.setenv(state.HOME_VARIABLE, str(tmp_path))
    return lambda: file.read_text().split("\n---\n")[:-1] if file.exists() else []


@pytest.fixture
def faults(tmp_path):
    def make(engine="swarmd"):
        hosts = [machine(name, tmp_path) for name in ("manager1", "manager2")]
        hosts.append(machine("manager3", tmp_path, state="stopped"))
        return Faults(describe(name="course", managers=3, engine=engine), Machines(*hosts))

    return make


@pytest.mark.parametrize(
    ("direction", "hooks"), [("both", ["input", "output"]), ("in", ["input"]), ("out", ["output"])]
)
def test_a_cut_drops_what_passes_between_a_host_and_the_others(told, faults, direction, hooks):
    faults().cut("manager1", ["manager2", "manager3"], direction)
    [text] = told()
    assert "table inet provision-course" in text
    assert re.findall("hook (input|output)", text) == hooks
    assert set(re.findall(r"192\.168\.56\.\d+", text)) == {"192.168.56.11", "192.168.56.12"}


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace and nftables need root")
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_kernel_takes_the_rules_and_forgets_their_addresses(told, faults, direction):
    faults().cut("manager1", ["manager2"], direction)
    [text] = told()
    listed = subprocess.run(
        ["unshare", "--net", "sh", "-ec", f"{text}\nnft list ruleset"], capture_output=True, text=True, check=False
    )
    assert listed.returncode == 0, listed.stderr
    assert f"192.168.56.11 timeout {LONGEST // 60}m expires" in listed.stdout
    assert listed.stdout.count("@others drop") == (2 if direction == "both" else 1)


def test_a_daemon_that_hangs_goes_on_by_itself_should_nobody_end_it(told, faults):
    faults("docker").hang_daemon("manager1")
    timer, stop = told()
    assert f"--on-active={LONGEST} systemctl kill --signal=CONT docker.service" in timer
    assert "kill -STOP" in stop


def test_only_the_daemon_of_the_engine_is_killed(told, faults):
    """Of swarmd, the supervisor's child: what restarts it must live."""
    faults().kill_daemon("manager1")
    [text] = told()
    assert "pgrep --parent $(systemctl show --property MainPID --value swarmd.service)" in text
    assert 'kill -KILL "$pid"' in text


def test_the_end_reaches_all_that_are_on_and_thaws_all(told, faults):
    ours = faults()
    ours.end()
    assert len(told()) == 2
    assert all("nft delete table inet provision-course" in text and "--signal=CONT" in text for text in told())
    assert ours.provider.thawed == ["manager1", "manager2", "manager3"]
