"""When a child counts as hung, and how long its next start waits."""

from __future__ import annotations

import pytest

from swarmd.supervisor.judgement import BackOff, Silence


def passes(silence: Silence, start: float, end: float) -> list[float]:
    """Ask at each tenth of a second; returns when it said that the child is hung."""
    count = round((end - start) * 10)
    return [now for number in range(1, count + 1) if silence.is_hung(now := round(start + number / 10, 3))]


def test_two_seconds_of_silence_are_a_hung_child():
    silence = Silence(100.0)
    silence.beat(100.0)
    hung = passes(silence, 100.0, 105.0)
    assert hung[0] == pytest.approx(102.0)


def test_a_beating_child_is_never_hung():
    silence = Silence(0.0)
    for second in range(20):
        silence.beat(float(second))
        assert passes(silence, float(second), second + 1.0) == []


def test_a_child_that_has_not_beaten_yet_has_thirty_seconds():
    silence = Silence(0.0)
    assert passes(silence, 0.0, 29.9) == []
    assert passes(silence, 29.9, 31.0)


def test_time_that_the_judge_slept_through_is_not_held_against_the_child():
    silence = Silence(0.0)
    silence.beat(0.0)
    assert not silence.is_hung(0.1)
    assert not silence.is_hung(10.1)  # Ten seconds passed between two passes: this process was frozen.
    assert passes(silence, 10.1, 12.0) == []
    assert passes(silence, 12.0, 13.0)


def test_what_is_left_of_a_silence_is_told():
    silence = Silence(0.0)
    assert silence.left(10.0) == pytest.approx(20.0)
    silence.beat(10.0)
    assert silence.left(10.5) == pytest.approx(1.5)


def test_a_judge_that_is_slowed_down_but_awake_still_judges():
    silence = Silence(0.0)
    silence.beat(0.0)
    assert [silence.is_hung(now) for now in (0.45, 0.9, 1.35, 1.8, 2.25)] == [False, False, False, False, True]


def test_pauses_double_up_to_five_seconds():
    back_off = BackOff()
    assert [back_off.after(0.0) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_long_life_starts_the_pauses_afresh():
    back_off = BackOff()
    for _ in range(5):
        back_off.after(1.0)
    assert back_off.after(30.0) == 0.1
    assert back_off.after(1.0) == 0.2
