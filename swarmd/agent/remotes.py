"""The managers that a node knows of, and which of them it tries next.

A weighted random choice: good experience makes a manager likelier, bad experience less so, and none is ever out.
Source: moby/swarmkit ``remotes/remotes.go``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

from swarmd.wire import Manager

GOOD, BAD = 10, -10
MOST = 256
_BIAS = 0.001
"""So that managers without any weight are all equally likely."""


class Remotes:
    def __init__(self, managers: Iterable[Manager], *, chance: random.Random | None = None) -> None:
        self._weights: dict[str, int] = {}
        self._managers: dict[str, Manager] = {}
        self._chance = chance or random.Random()  # noqa: S311 (spreads load; nothing secret)
        self.replace(managers)

    @property
    def managers(self) -> list[Manager]:
        return list(self._managers.values())

    def replace(self, managers: Iterable[Manager]) -> None:
        """As a manager listed them. An empty list is no news: a node that knows no manager is lost for good."""
        listed = {manager.address: manager for manager in managers}
        if listed:
            self._managers = listed
            self._weights = {address: self._weights.get(address, GOOD // 2) for address in listed}

    def observe(self, manager: Manager, weight: int) -> None:
        """Halfway from what was known of it to this; one that is not listed is not remembered."""
        if manager.address in self._weights:
            middle = math.ceil((self._weights[manager.address] + weight) / 2)
            self._weights[manager.address] = max(-MOST, min(MOST, middle))

    def choose(self, *, without: Manager | None = None) -> Manager | None:
        """None where none is known besides ``without``."""
        able = [manager for manager in self._managers.values() if without is None or manager.address != without.address]
        if not able:
            return None
        weights = [max(0, self._weights[manager.address]) + _BIAS for manager in able]
        return self._chance.choices(able, weights)[0]
