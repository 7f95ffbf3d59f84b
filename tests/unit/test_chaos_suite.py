"""The suite ``failover`` plays each scenario once and runs only the tests whose expectation a scenario states."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner import state
from provisioner.chaos import catalogue
from provisioner.lab import describe
from provisioner.suites import failover


@pytest.fixture
def collected(tmp_path, monkeypatch):
    """What would run on a lab, in its order: (test, scenario)."""
    monkeypatch.setenv(state.HOME_VARIABLE, str(tmp_path))

    def collect(spec, *options):
        state.create(state.folder(spec.name), spec)
        folder = Path(failover.__file__).parent
        argv = [sys.executable, "-P", "-m", "pytest", "-q", "--collect-only", "-c", folder.parent / "pytest.ini"]
        argv += ["-p", "provisioner.suites.stream", "--lab", spec.name, *options, folder]
        env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run(argv, capture_output=True, text=True, env=env, check=True, timeout=60)
        lines = [line.rpartition("::")[2] for line in done.stdout.splitlines() if "::test_" in line]
        return [tuple(line.rstrip("]").split("[")) for line in lines]

    return collect


def test_each_scenario_is_played_once_and_its_tests_are_those_of_its_expectations(collected):
    spec = describe(managers=3, workers=1)
    found = collected(spec)
    played = [scenario for scenario, _ in itertools.groupby(found, key=lambda each: each[1])]
    scenarios = catalogue.all_for(spec)
    assert played == [re.sub(" --[a-z]+ ", "-", str(scenario)) for scenario in scenarios]
    assert len(found) == sum(len(scenario.expectations(spec)) for scenario in scenarios)


def test_one_direction_can_be_asked_for(collected):
    found = collected(describe(managers=3, engine="swarmd"), "--scenario", "partition-leader", "--direction", "in")
    assert {scenario for _, scenario in found} == {"partition-leader-in"}
    assert ("test_cut_refuses", "partition-leader-in") in found


def test_one_scenario_can_be_asked_for(collected):
    found = collected(describe(managers=3), "--scenario", "kill-managers", "--count", "2")
    assert {name for name, _ in found} == {
        "test_refusal", "test_no_write", "test_management_back", "test_tasks", "test_nothing_lost", "test_restored",
    }  # fmt: skip
