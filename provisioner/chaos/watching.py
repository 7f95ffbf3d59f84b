"""Look at the swarm again and again until things have been seen, each with a deadline of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from provisioner.chaos.outcome import Measured, Refusal
from provisioner.chaos.timeline import Timeline
from provisioner.machines import Machine
from provisioner.swarm import Swarm, connect, read, reason

INTERVAL = 0.25


@dataclass(frozen=True)
class Sighting:
    """What a look found."""

    seen: bool
    words: str
    at: float | None = None
    """When it happened, in seconds of the run's clock, where it is known better than by the time of the look."""


@dataclass(frozen=True)
class Watch:
    """Something to be seen."""

    name: str
    look: Callable[[Swarm], Sighting]
    within: float
    """Its bound, in seconds; that long it is watched for."""


def watch(
    watches: Sequence[Watch],
    look: Callable[[], Swarm],
    *,
    clock: Callable[[], float],
    since: float,
    timeline: Timeline,
    doing: Callable[[str], None],
) -> list[Measured]:
    """Look until each has been seen or has run out of time; mark on the timeline what was seen.

    :param since: the moment from which bounds count and seconds are measured, on the run's clock.
    """
    pending = list(watches)
    done: list[Measured] = []
    while pending:
        swarm = look()
        for each in list(pending):
            sighting = each.look(swarm)
            seconds = (clock() if sighting.at is None else sighting.at) - since
            if sighting.seen:
                timeline.mark(each.name, sighting.words, at=since + seconds)
                done.append(Measured(each.name, round(seconds, 3), each.within, sighting.words))
            elif seconds > each.within:
                timeline.mark(f"not seen: {each.name}", sighting.words)
                done.append(Measured(each.name, None, each.within, sighting.words))
            else:
                doing(f"waiting for: {each.name} ({clock() - since:.0f} of {each.within:g} s); {sighting.words}")
                continue
            pending.remove(each)
        if pending:
            time.sleep(INTERVAL)
    return done


def leaders(machines: Sequence[Machine], timeout: float) -> dict[str, str]:
    """Whom each host calls the leader, or what it says instead."""

    def ask(machine: Machine) -> str:
        swarm = read([machine], timeout)
        return swarm.leader.hostname if swarm.leader else swarm.error or swarm.answers[0].error or "nobody"

    with ThreadPoolExecutor(max_workers=max(1, len(machines))) as pool:
        return dict(zip((machine.name for machine in machines), pool.map(ask, machines), strict=True))


def refusals(machines: Sequence[Machine], timeout: float) -> list[Refusal]:
    """Ask every host for the swarm's nodes, as ``docker node ls`` does, and take down what it says instead."""

    def ask(machine: Machine) -> Refusal:
        try:
            with connect(machine, timeout) as client:
                client.nodes()
        except Exception as error:  # whatever it is, it is the answer
            return Refusal(machine.name, reason(error))
        return Refusal(machine.name, "")

    with ThreadPoolExecutor(max_workers=max(1, len(machines))) as pool:
        return list(pool.map(ask, machines))
