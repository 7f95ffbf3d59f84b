"""How long an engine may take: what the expectations promise, with the measurements behind it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """How long an engine may take, in seconds from the power-off unless said otherwise."""

    refusal: float
    """Until managers without a quorum say so, instead of letting calls hang."""
    leader: float
    """Until another leader is there and writes are accepted, where enough managers are left."""
    recovery: float
    """Until there are a leader and writes again, from the start of the host that makes a majority, or from
    ``docker swarm init --force-new-cluster``."""
    noticed: float
    """Until a lost host is shown as Down or Unreachable, while a leader is there to see it."""
    moved: float
    """Until the tasks of a lost worker run elsewhere."""
    reported: float
    """How long the move of a lost manager's tasks is watched; it is reported, no test depends on it."""
    service: float
    """For a new service to run, and for it to scale."""
    restored: float
    """From the last start until the lab is as it was."""


# Docker's swarm mode on such hosts: a new leader after 9-21 s, Down after 15 s where the leader lives (three missed
# heartbeats of 5 s). A follower gives its leader up after 10-20 s (election ticks of 1 s, at random), and calls are
# refused when it has had none for 10 s more: 27 s were seen. After a change of leader it takes long to move tasks:
# seen after 53 s, and not in 60 s.
# A manager that was off for a minute is Unreachable for up to another one: the others try again ever more rarely.
# So a majority that is back needs several rounds of election: 32-34 s of three managers, 59 s of five. A forced new
# cluster takes 30-38 s: a stop of 10 s, waits for those that are gone, and an election.
DOCKER = Bounds(refusal=45, leader=60, recovery=120, noticed=40, moved=60, reported=75, service=60, restored=150)

_BY_ENGINE = {"docker": DOCKER}


def bounds(engine: str) -> Bounds:
    """An engine that says nothing of its own times is held to Docker's."""
    return _BY_ENGINE.get(engine, DOCKER)
