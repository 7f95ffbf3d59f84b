"""The parts of the role swarmd that decide something: when a restarted daemon is back, and what goes at the end."""

import pytest
from role_modules import ROLES, load

state = load(ROLES / "record/module_utils/machine_state.py", "machine_state_of_swarmd")
restart = load(ROLES / "swarmd/library/swarmd_restart.py", "swarmd_restart")

MANAGER = {"LocalNodeState": "active", "ControlAvailable": True, "Error": ""}
WORKER = {"LocalNodeState": "active", "ControlAvailable": False, "Error": ""}
ALONE = {"LocalNodeState": "inactive", "ControlAvailable": False, "Error": ""}


@pytest.mark.parametrize(
    ("before", "now", "is_back"),
    [
        (MANAGER, MANAGER, True),
        (MANAGER, WORKER, False),
        (MANAGER, {**MANAGER, "Error": "no leader"}, False),
        (MANAGER, None, False),
        (WORKER, WORKER, True),
        (WORKER, MANAGER, True),
        (WORKER, {**WORKER, "LocalNodeState": "pending"}, False),
        (ALONE, ALONE, True),
        (None, ALONE, True),
        (None, None, False),
    ],
)
def test_a_host_is_back_when_it_takes_part_as_before(before, now, is_back):
    assert restart.is_back(before, now) is is_back


@pytest.mark.parametrize(
    ("states", "goes"),
    [
        ({"before": None, "after": {"link": "0.1.0-a"}}, True),
        ({"before": {"link": "0.1.0-a"}, "after": {"link": "0.1.0-b"}}, False),
        ({"before": None, "after": None}, False),
        ({"before": None}, False),
    ],
)
def test_swarmd_goes_with_the_lab_that_brought_it(states, goes):
    assert state.brings_swarmd({"files": {state.SWARMD: states}}) is goes
    assert state.brings_swarmd({"files": {}}) is False
