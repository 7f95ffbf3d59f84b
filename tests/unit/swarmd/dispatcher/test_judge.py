"""When a node is Down, and when it must not be: the judge alone, with time as a number."""

import pytest

from swarmd.dispatcher.judge import (
    HEARTBEAT_FAILURE,
    HEARTBEAT_FAILURE_UNKNOWN,
    NO_ANSWER,
    TICK,
    Judge,
    Signal,
)

PERIOD = 5.0
ALIVE = Signal(answers=100)
OFF = Signal(answers=100, losses=6, silent=3.0)


class Watch:
    """A judge that looks each TICK; says at which second it called whom Down."""

    def __init__(self):
        self.now = 1000.0
        self.begin = self.now
        self.judge = Judge(self.now)

    def heard(self, *nodes, period=PERIOD):
        for node in nodes:
            self.judge.heard(node, period, self.now)

    def expect(self, *nodes):
        for node in nodes:
            self.judge.expect(node, PERIOD, self.now)

    def look(self, signals):
        return [(v.node_id, v.message) for v in self.judge.look(self.now, signals)]

    def passes(self, seconds, signals=None, tick=TICK):
        """``signals``: by node, a Signal or a function of the seconds since the watch began."""
        end = self.now + seconds
        found = []
        while self.now < end:
            self.now += tick
            since = self.now - self.begin
            current = {node: given(since) if callable(given) else given for node, given in (signals or {}).items()}
            found += [(since, *verdict) for verdict in self.look(current)]
        return found


def off_since(when, answers=100):
    """A machine that answers each half second until it loses its power."""

    def signal(now):
        lost = max(0, int((now - when) / 0.5))
        return Signal(answers, lost, lost * 0.5)

    return signal


@pytest.fixture
def watch():
    return Watch()


@pytest.mark.parametrize("period", [1.0, 5.0, 5.5, 60.0])
def test_three_missed_heartbeats_are_down(watch, period):
    watch.heard("a", period=period)
    assert watch.passes(3 * period - TICK) == []
    assert watch.passes(TICK) == [(3 * period, "a", HEARTBEAT_FAILURE)]


def test_each_word_of_a_node_begins_its_grace_anew(watch):
    for _ in range(10):
        watch.heard("a")
        assert watch.passes(14) == []


def test_down_is_said_once(watch):
    watch.heard("a")
    assert len(watch.passes(100)) == 1


def test_a_node_that_comes_back_is_watched_again(watch):
    watch.heard("a")
    watch.passes(20)
    watch.heard("a")
    assert watch.passes(14) == []
    assert len(watch.passes(2)) == 1


def test_a_new_leader_waits_twice_as_long(watch):
    watch.expect("a")
    assert watch.passes(30 - TICK) == []
    assert watch.passes(TICK) == [(30.0, "a", HEARTBEAT_FAILURE_UNKNOWN)]


def test_a_removed_node_is_nobodys_matter(watch):
    watch.heard("a")
    watch.judge.forget("a")
    assert watch.passes(60, {"a": OFF}) == []
    assert watch.judge.watched == set()


# The machine's signal.


def test_a_machine_that_loses_its_power_is_noticed_within_four_seconds(watch):
    watch.heard("a")
    ((when, *verdict),) = watch.passes(15, {"a": off_since(0.2), "b": ALIVE})
    assert verdict == ["a", NO_ANSWER]
    assert 3.0 <= when <= 3.5


def test_a_new_leader_knows_which_machine_is_off_from_its_own_probes(watch):
    """It has probed while it stood by; so it need not wait for its own 3 s of silence, nor for 30 s."""
    watch.expect("a", "b")
    assert watch.look({"a": OFF, "b": ALIVE}) == [("a", NO_ANSWER)]


@pytest.mark.parametrize(
    ("signal", "why"),
    [
        (Signal(answers=0, losses=600, silent=300.0), "it never answered: ICMP is blocked"),
        (Signal(answers=9, losses=6, silent=3.0), "it has not answered often enough to be one that answers"),
        (Signal(answers=100, losses=4, silent=3.0), "too few probes were lost, if for long"),
        (Signal(answers=100, losses=6, silent=2.9), "it has not been silent for long"),
    ],
)
def test_otherwise_only_heartbeats_count(watch, signal, why):
    watch.heard("a")
    assert watch.passes(15 - TICK, {"a": signal}) == [], why
    assert [verdict[2] for verdict in watch.passes(TICK, {"a": signal})] == [HEARTBEAT_FAILURE]


def test_who_still_speaks_is_there_whatever_its_machine_answers(watch):
    for _ in range(20):
        watch.heard("a")
        assert watch.passes(2.5, {"a": OFF}) == []


def test_a_machine_that_stopped_answering_while_its_node_speaks_must_earn_its_trust_again(watch):
    """A firewall now drops ICMP. When the agent restarts and is silent for 4 s, that is no loss of power."""
    dropped = Signal(answers=100, losses=20, silent=10.0)
    watch.heard("a")
    watch.passes(1, {"a": dropped})
    assert watch.passes(13, {"a": dropped}) == []
    watch.heard("a")
    assert watch.passes(10, {"a": off_since(watch.now - watch.begin, answers=109)}) == []
    watch.heard("a")
    watch.passes(1, {"a": Signal(answers=110)})
    found = watch.passes(5, {"a": off_since(watch.now - watch.begin, answers=110)})
    assert [verdict[2] for verdict in found] == [NO_ANSWER]


def test_a_last_word_just_before_the_power_went_is_no_contradiction(watch):
    watch.passes(1, {"a": ALIVE})
    watch.heard("a")
    assert [verdict[2] for verdict in watch.passes(5, {"a": off_since(0.6)})] == [NO_ANSWER]


def test_when_all_fall_silent_together_it_is_this_machine_that_is_cut_off(watch):
    watch.heard("a", "b")
    signals = {"a": off_since(0), "b": off_since(0)}
    assert watch.passes(15 - TICK, signals) == []
    assert {verdict[2] for verdict in watch.passes(TICK, signals)} == {HEARTBEAT_FAILURE}


def test_of_many_machines_several_may_lose_their_power_together(watch):
    watch.heard("a", "b", "c")
    found = watch.passes(5, {"a": off_since(0), "b": off_since(0), "c": ALIVE})
    assert {verdict[1:] for verdict in found} == {("a", NO_ANSWER), ("b", NO_ANSWER)}


@pytest.mark.parametrize("begin", ["heard", "expect"])
def test_frozen_processes_on_a_kernel_that_answers_stay_for_ten_seconds_at_least(watch, begin):
    """Even with heartbeats each second, three of which would be missed after 3 s."""
    getattr(watch.judge, begin)("a", 1.0, watch.now)
    assert watch.passes(10 - TICK, {"a": ALIVE}) == []
    assert len(watch.passes(TICK, {"a": ALIVE})) == 1


# The judge's own lateness.


def test_time_that_the_judge_slept_is_nobodys_fault(watch):
    watch.heard("a", "b")
    watch.now += 600
    assert watch.look({"a": ALIVE}) == []
    assert watch.passes(14, {"a": ALIVE}) == []


def test_a_judge_that_is_stopped_again_and_again_counts_only_what_it_was_awake(watch):
    watch.heard("a")
    for _ in range(20):
        watch.now += 10
        assert watch.look({}) == []


def test_a_word_that_waited_unread_while_the_judge_slept_counts_from_its_waking(watch):
    watch.heard("a")
    watch.passes(14.5)
    watch.now += 60
    watch.heard("a")
    assert watch.passes(14.5) == []


def test_a_judge_that_is_a_little_late_each_time_still_judges(watch):
    watch.heard("a")
    ((when, *_),) = watch.passes(20, tick=0.4)
    assert 15 <= when <= 15.5
