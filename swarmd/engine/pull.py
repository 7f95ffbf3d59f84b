"""Pulls of images: of each image one at a time, after a failure with growing pauses.

The same image with other credentials is another one here: what one password may not have, the next one may.

A registry sees a node that cannot pull now and then, not at each start of each task (moby/moby#31156: an office was
banned by its registry).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field

from swarmd.engine.client import Engine
from swarmd.engine.reference import familiar, has_digest, is_id
from swarmd.errors import EngineRefused, EngineUnreachable

log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds after a failed pull before the next of that image; doubled with each failure in a row."""


@dataclass
class _Image:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    pulls: int = 0
    """Ended ones, in whatever way."""
    failures: int = 0
    """In a row."""
    not_before: float = 0.0
    """The loop's time."""
    waiting: int = 0


class Puller:
    def __init__(self, engine: Engine, *, prefer_offline: bool = False) -> None:
        """
        :param prefer_offline: an image that is there is as good as the newest.
        """
        self._engine = engine
        self._prefer_offline = prefer_offline
        self._images: dict[tuple[str, str], _Image] = {}
        """By name and a digest of the credentials, which themselves are not kept here."""

    async def pull(self, image: str, credentials: str = "") -> None:
        """Try to have the newest of it. Whether it is there then, the container's creation will tell.

        Between a failure and the next attempt, an image that is there is left as it is.

        :param credentials: ``X-Registry-Auth``, if there are any.
        :raises EngineUnreachable: the engine is absent.
        """
        if is_id(image):
            return
        name = familiar(image)
        if (self._prefer_offline or has_digest(name)) and await self._engine.has_image(name):
            return
        key = (name, hashlib.sha256(credentials.encode()).hexdigest())
        state = self._images.setdefault(key, _Image())
        state.waiting += 1
        try:
            await self._in_turn(name, credentials, state)
        finally:
            state.waiting -= 1
            if not state.waiting and not state.failures:
                self._images.pop(key, None)

    async def _in_turn(self, name: str, credentials: str, state: _Image) -> None:
        pulls_before = state.pulls
        async with state.turn:
            if state.pulls > pulls_before:
                return
            pause = state.not_before - asyncio.get_running_loop().time()
            if pause > 0:
                if await self._engine.has_image(name):
                    return
                await asyncio.sleep(pause)
            await self._pull(name, credentials, state)

    async def _pull(self, name: str, credentials: str, state: _Image) -> None:
        try:
            await self._engine.pull(name, credentials)
        except EngineRefused as error:
            pause = min(FIRST_PAUSE * 2**state.failures, LONGEST_PAUSE)
            state.failures = min(state.failures + 1, 10)
            state.not_before = asyncio.get_running_loop().time() + pause
            log.warning("pulling %s failed: %s", name, error)
        except EngineUnreachable:
            raise
        else:
            state.failures = 0
        state.pulls += 1
