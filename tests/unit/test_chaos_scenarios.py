"""What each scenario expects follows from the numbers of managers; every expectation has a test that judges it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provisioner.chaos import catalogue, outcome, sights
from provisioner.chaos.bystanders import interruptions
from provisioner.chaos.command import announcement, timeline_table
from provisioner.chaos.kill_managers import KillManagers
from provisioner.chaos.outcome import CalledDown, Container, Measured, Outcome, Refusal
from provisioner.chaos.timeline import Event, Timeline
from provisioner.chaos.verdict import judge
from provisioner.errors import UsageError
from provisioner.lab import VagrantSpec, describe
from provisioner.state import Record
from provisioner.suites import failover
from provisioner.swarm import Quorum, Swarm

GOES_ON = ["leader", "writes", "noticed", "management"]
STOPS = ["refusal", "no-write", "management-back"]
COMMON = ["tasks", "nothing-lost", "restored"]
LED_BY_ANOTHER = ["leader", "writes", "management"]
CUT_OFF = ["noticed", "cut-refuses", "cut-accepts-nothing", "one-leader"]


@pytest.mark.parametrize(
    ("managers", "workers", "name", "count", "expected"),
    [
        (3, 0, "kill-managers", 1, GOES_ON),
        (5, 0, "kill-managers", 2, GOES_ON),
        (3, 0, "kill-managers", 2, STOPS),
        (2, 1, "kill-managers", 1, STOPS),
        (1, 2, "kill-managers", 1, ["no-management", "no-write", "management-back"]),
        (3, 0, "kill-leader", None, GOES_ON),
        (3, 1, "kill-worker", None, [*GOES_ON, "moved"]),
        (3, 0, "kill-daemon", None, LED_BY_ANOTHER),
        (3, 0, "hang-daemon", None, [*LED_BY_ANOTHER, "one-leader"]),
        (3, 0, "partition-leader", None, [*LED_BY_ANOTHER, *CUT_OFF]),
        (3, 0, "freeze-leader", None, [*LED_BY_ANOTHER, "one-leader"]),
        (3, 0, "force-new-cluster", None, ["refusal", "no-write", "management-back", "kept"]),
    ],
)
def test_expectations_follow_from_the_majority(managers, workers, name, count, expected):
    spec = describe(managers=managers, workers=workers)
    found = [expectation.name for expectation in catalogue.named(name, count).expectations(spec)]
    assert found == [*expected, *COMMON]


@pytest.mark.parametrize(
    ("managers", "workers", "name", "count", "reason"),
    [
        (3, 0, "kill-managers", 3, "all hosts of lab"),
        (1, 0, "kill-managers", 1, "all hosts of lab"),
        (3, 2, "kill-managers", 4, "has 3 managers, 4 cannot be powered off"),
        (3, 2, "kill-managers", 0, "0 managers cannot be powered off"),
        (1, 2, "kill-leader", None, "has 1 manager, which tolerates no loss"),
        (2, 0, "kill-leader", None, "has 2 managers, which tolerate no loss"),
        (3, 0, "kill-worker", None, "has no worker to power off"),
        (1, 2, "kill-daemon", None, "has 1 manager, which tolerates no loss"),
        (2, 0, "hang-daemon", None, "has 2 managers, which tolerate no loss"),
        (2, 0, "partition-leader", None, "has 2 managers, which tolerate no loss"),
        (2, 0, "freeze-leader", None, "has 2 managers, which tolerate no loss"),
        (1, 2, "force-new-cluster", None, "without it there is no survivor"),
    ],
)
def test_what_a_lab_cannot_play_is_refused_with_the_reason(managers, workers, name, count, reason):
    with pytest.raises(UsageError, match=reason):
        catalogue.named(name, count).expectations(describe(managers=managers, workers=workers))


def test_unknown_names_and_counts_are_refused():
    with pytest.raises(UsageError, match="no scenario 'kill-everything'"):
        catalogue.named("kill-everything")
    with pytest.raises(UsageError, match="takes no --count"):
        catalogue.named("kill-leader", 2)
    with pytest.raises(UsageError, match="takes no --direction"):
        catalogue.named("kill-leader", direction="in")
    with pytest.raises(UsageError, match="takes no --seconds"):
        catalogue.named("partition-leader", seconds=20)
    with pytest.raises(UsageError, match="no direction 'sideways'"):
        catalogue.named("partition-leader", direction="sideways")


@pytest.mark.parametrize("seconds", [0, -1, 121, float("nan")])
def test_a_host_is_frozen_for_two_minutes_at_most(seconds):
    with pytest.raises(UsageError, match="cannot be frozen for"):
        catalogue.named("freeze-leader", seconds=seconds).expectations(describe(managers=3))


def test_a_scenario_is_called_what_is_typed():
    """The command hands it to its suite in these words."""
    typed = ["kill-managers --count 2", "partition-leader --direction out", "freeze-leader --seconds 20", "kill-daemon"]
    scenarios = [
        catalogue.named("kill-managers", 2), catalogue.named("partition-leader", direction="out"),
        catalogue.named("freeze-leader", seconds=20), catalogue.named("kill-daemon"),
    ]  # fmt: skip
    assert [str(scenario) for scenario in scenarios] == typed


def words(name, expectation, spec):
    stated = {each.name: each.words for each in catalogue.named(name).expectations(spec)}
    return stated.get(expectation, "")


def test_tasks_outlive_swarmd_and_not_dockerd():
    docker, swarmd = describe(managers=3), describe(managers=3, engine="swarmd")
    assert words("kill-daemon", "tasks", swarmd) == "all tasks keep running, in the same containers"
    assert words("kill-daemon", "tasks", docker) == "tasks on the other hosts keep running, in the same containers"


def test_a_frozen_container_is_not_down_and_a_frozen_virtual_machine_may_be():
    lxc = describe(managers=3, engine="swarmd")
    vagrant = describe(managers=3, engine="swarmd", provider="vagrant")
    assert "not called Down for 10 s" in words("freeze-leader", "not-down", lxc)
    assert words("freeze-leader", "not-down", vagrant) == ""


def test_what_an_engine_has_not_got_is_not_looked_for_and_that_is_said():
    swarmd = describe(managers=3, engine="swarmd")
    assert words("force-new-cluster", "kept", swarmd) == (
        "services, configs and workers are those of the old cluster "
        "(engine swarmd has no networks and no secrets yet, so none are looked for)"
    )
    assert words("force-new-cluster", "kept", describe(managers=3)) == (
        "services, networks, secrets, configs and workers are those of the old cluster"
    )


def test_swarmd_is_held_to_times_of_its_own():
    assert words("kill-leader", "writes", describe(managers=3, engine="swarmd")).startswith(
        "a write is accepted within 5 s"
    )
    assert words("kill-leader", "writes", describe(managers=3)).startswith("a write is accepted within 60 s")


def test_slow_machines_get_more_time():
    emulated = VagrantSpec(hypervisor="libvirt", emulated=True)
    spec = describe(managers=3, provider="vagrant", engine="swarmd", vagrant=emulated)
    assert words("kill-leader", "writes", spec).startswith("a write is accepted within 25 s")


def test_who_names_the_same_leader_agrees():
    def seen(**said):
        return sights.agreement(lambda: said)(Swarm((), (), (), Quorum((), ())))

    assert seen(manager1="manager2", manager2="manager2").seen
    split = seen(manager1="manager1", manager2="manager2")
    assert (split.seen, split.words) == (False, "manager1 says manager1; manager2 says manager2")
    assert not seen(manager1="no answer in time", manager2="no answer in time").seen


ON = [
    "kill-daemon", "hang-daemon", *(f"partition-leader --direction {way}" for way in ("both", "in", "out")),
    "freeze-leader",
]  # fmt: skip


@pytest.mark.parametrize(
    ("managers", "workers", "names"),
    [
        (3, 0, ["kill-leader", *ON, "kill-managers --count 2", "force-new-cluster"]),
        (
            5,
            1,
            ["kill-worker", "kill-leader", *ON, *(f"kill-managers --count {n}" for n in (2, 3)), "force-new-cluster"],
        ),
        (1, 2, ["kill-worker", "kill-managers --count 1"]),
        (1, 0, []),
    ],
)
def test_the_suite_plays_what_the_lab_can(managers, workers, names):
    spec = describe(managers=managers, workers=workers)
    assert [str(scenario) for scenario in catalogue.all_for(spec)] == names


def test_every_expectation_has_a_test_and_every_test_an_expectation():
    source = (Path(failover.__file__).parent / "test_expectations.py").read_text()
    judged = set(re.findall(r'^@proves\("(.*)"\)', source, re.MULTILINE))
    specs = [
        describe(managers=managers, workers=workers, engine=engine)
        for managers in (1, 2, 3, 5) for workers in (0, 2) for engine in ("docker", "swarmd")
    ]  # fmt: skip
    stated = {
        expectation.name
        for spec in specs
        for scenario in [*catalogue.all_for(spec)]
        for expectation in scenario.expectations(spec)
    }
    assert judged == stated


def test_the_purpose_says_the_arithmetic():
    assert KillManagers(2).purpose(describe(managers=3)) == (
        "power off 2 of 3 managers, the leader among them; 1 is left and a majority is 2, so management must stop"
    )
    assert KillManagers(2).purpose(describe(managers=5)) == (
        "power off 2 of 5 managers, the leader among them; 3 are left and a majority is 3, so management goes on"
    )


def test_the_announcement_comes_before_anything_is_done(record):
    lines = list(announcement(KillManagers(2), record))
    assert lines[0].startswith("kill-managers --count 2: power off 2 of 3 managers")
    assert lines[1] == ('  expected: every manager left answers "The swarm does not have a leader" within 45 s')
    assert len(lines) == 7


@pytest.fixture
def record():
    return Record(id="0", created=datetime(2026, 1, 1, tzinfo=UTC), spec=describe(managers=3))


def an_outcome():
    return Outcome(
        scenario="kill-leader", purpose="why", leader="manager1", victims=("manager1",),
        events=(Event(1.0, "started"), Event(3.5, "killed", "manager1: power off"), Event(14.25, "new leader")),
        measured=(Measured("new leader", 10.75, 60, "manager2 leads"),), refusals=(Refusal("manager2", ""),),
        accepted_in_outage=3, accepted_by_victims=0, longest_gap=11.0,
        management=(), watched=(), released=(), interrupted=(), missing=(),
        called_down=(CalledDown("manager1", 3.1),),
        verdict=judge([], {}), restored=(), history="x.jsonl",
    )  # fmt: skip


def test_an_outcome_travels_as_json():
    assert outcome.from_json(outcome.to_json(an_outcome())) == an_outcome()


def test_seconds_are_counted_from_the_power_off():
    seen = an_outcome()
    assert [seen.after_kill(event) for event in seen.events] == [-2.5, 0.0, 10.75]
    table = timeline_table(seen)
    assert list(table.columns[0].cells) == ["-2.5", "+0.0", "+10.8"]


def test_a_measure_says_what_was_seen_last():
    assert Measured("new leader", None, 60, "no answer in time").words() == (
        "new leader: not within 60 s; last seen: no answer in time"
    )
    assert Measured("new leader", 61.0, 60, "manager2 leads").kept is False


def test_containers_that_ended_or_began_anew_are_named():
    before = [Container(str(n), f"task.{n}", "manager3", "t0") for n in (1, 2, 3)]
    now = [before[0], Container("2", "task.2", "manager3", "t1"), Container("9", "task.9", "manager3", "t1")]
    assert interruptions(before, now) == {
        "2": "manager3: task.2 was restarted at t1",
        "3": "manager3: task.3 is not running any more",
    }


def test_the_timeline_is_heard_at_once_and_sorted_by_time():
    heard = []
    timeline = Timeline(lambda: 5.0, heard.append)
    timeline.mark("noticed")
    timeline.mark("first write accepted", at=4.2)
    assert [event.name for event in heard] == ["noticed", "first write accepted"]
    assert [event.name for event in timeline.events] == ["first write accepted", "noticed"]
