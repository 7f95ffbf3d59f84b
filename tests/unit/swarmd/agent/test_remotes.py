from __future__ import annotations

import random
from collections import Counter

from swarmd.agent.remotes import BAD, GOOD, Remotes
from swarmd.wire import Manager

A, B, C = (Manager(node_id=name, address=f"{name}:2377") for name in "abc")


def chosen(remotes: Remotes, times: int = 2000) -> Counter[str]:
    return Counter(manager.node_id for _ in range(times) if (manager := remotes.choose()))


def test_all_are_chosen_alike_at_first():
    counts = chosen(Remotes([A, B, C], chance=random.Random(1)))
    assert all(500 < counts[name] < 850 for name in "abc")


def test_experience_weighs():
    remotes = Remotes([A, B, C], chance=random.Random(1))
    for _ in range(3):
        remotes.observe(A, GOOD)
        remotes.observe(B, BAD)
    counts = chosen(remotes)
    assert counts["a"] > counts["c"] > counts["b"]


def test_a_manager_with_nothing_but_bad_experience_is_still_tried_when_alone():
    remotes = Remotes([A])
    for _ in range(50):
        remotes.observe(A, BAD)
    assert remotes.choose() == A


def test_the_managers_list_replaces_the_known_ones_and_keeps_their_weights():
    remotes = Remotes([A, B], chance=random.Random(1))
    for _ in range(9):
        remotes.observe(A, GOOD)
        remotes.observe(B, BAD)
    remotes.replace([A, B, C])
    assert chosen(remotes)["b"] < 10
    remotes.replace([C])
    assert remotes.managers == [C]


def test_an_empty_list_is_no_news():
    remotes = Remotes([A])
    remotes.replace([])
    assert remotes.managers == [A]


def test_one_can_be_left_out():
    assert Remotes([A, B]).choose(without=A) == B
    assert Remotes([A]).choose(without=A) is None
    assert Remotes([]).choose() is None
