"""The engine's events, told to whoever follows a task; one stream for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from swarmd.engine.answers import Event
from swarmd.engine.client import Engine
from swarmd.engine.container import TASK_ID
from swarmd.errors import EngineRefused, EngineUnreachable

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
"""Seconds between attempts to reach an engine that is absent."""


@dataclass
class Sighting:
    """What events have told of one task's container. The container itself, where there is one, is the truth."""

    woken: Callable[[], None]
    """Called at each event, and when the stream begins anew: whatever was missed is then looked up."""
    exit_code: int | None = None
    """Of the container's last end; it outlives the container, whose removal may follow at once."""
    is_gone: bool = False
    """The container was removed."""


class Watch:
    """Follows the engine for as long as ``run`` runs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sightings: dict[str, Sighting] = {}
        self._answering = asyncio.Event()

    def follow(self, task_id: str, woken: Callable[[], None]) -> Sighting:
        """Until :meth:`forget`; one follower for each task."""
        sighting = self._sightings[task_id] = Sighting(woken)
        return sighting

    def forget(self, task_id: str) -> None:
        self._sightings.pop(task_id, None)

    async def answering(self) -> None:
        """Wait until the engine is there."""
        await self._answering.wait()

    async def run(self) -> None:
        pause = FIRST_PAUSE
        was_there = True
        while True:
            try:
                async with self._engine.events() as events:
                    log.info("the Docker Engine is there")
                    pause, was_there = FIRST_PAUSE, True
                    self._answering.set()
                    for sighting in list(self._sightings.values()):
                        sighting.woken()
                    async for event in events:
                        self._note(event)
            except (EngineUnreachable, EngineRefused) as error:
                self._answering.clear()
                if was_there:
                    log.warning("waiting for the Docker Engine: %s", error)
                was_there = False
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _note(self, event: Event) -> None:
        sighting = self._sightings.get(event.actor.attributes.get(TASK_ID, ""))
        if sighting is None:
            return
        match event.action:
            case "start":
                sighting.exit_code = None
            case "die":
                sighting.exit_code = _number(event.actor.attributes.get("exitCode", ""))
            case "destroy":
                sighting.is_gone = True
        sighting.woken()


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return -1
