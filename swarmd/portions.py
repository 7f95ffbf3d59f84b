"""Cutting a row of things into portions that fit into messages and transactions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Thing = TypeVar("Thing")


def portions(
    things: Iterable[Thing], size_of: Callable[[Thing], int], *, largest: int, most: int = sys.maxsize
) -> Iterator[list[Thing]]:
    """In their order; each is as large as it may be. Takes one thing more than it has given out.

    :param largest: a portion's size; a thing that is larger by itself is a portion alone.
    :param most: things in a portion.
    """
    portion: list[Thing] = []
    size = 0
    for thing in things:
        more = size_of(thing)
        if portion and (len(portion) == most or size + more > largest):
            yield portion
            portion, size = [], 0
        portion.append(thing)
        size += more
    if portion:
        yield portion
