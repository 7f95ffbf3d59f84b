"""Cutting a row of things into portions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarmd.portions import portions


def cut(*sizes: int, largest: int = 10, most: int = 3) -> list[list[int]]:
    return list(portions(sizes, lambda size: size, largest=largest, most=most))


def test_a_portion_is_full_by_size_or_by_number():
    assert cut(4, 4, 4) == [[4, 4], [4]]
    assert cut(1, 1, 1, 1) == [[1, 1, 1], [1]]
    assert cut(5, 5, 1) == [[5, 5], [1]]


def test_what_is_too_large_is_alone():
    assert cut(1, 99, 1) == [[1], [99], [1]]


def test_of_nothing_there_is_no_portion():
    assert cut() == []


@given(st.lists(st.integers(0, 20)))
def test_nothing_is_lost_or_moved_and_each_fits(sizes):
    found = cut(*sizes)
    assert [size for portion in found for size in portion] == sizes
    assert all(0 < len(portion) <= 3 and (sum(portion) <= 10 or len(portion) == 1) for portion in found)
