"""How long an engine may take: what the expectations promise, with the measurements behind it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from provisioner.lab import LabSpec


@dataclass(frozen=True)
class Bounds:
    """How long an engine may take, in seconds from the fault (the power-off, the cut, …) unless said otherwise."""

    refusal: float
    """Until managers without a quorum say so, instead of letting calls hang."""
    leader: float
    """Until another leader is there and writes are accepted, where enough managers are left."""
    hung: float
    """The same, where the leader's daemon is there and does not move."""
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
    agreed: float
    """Until every manager names the same leader, from when one that was cut off, hung or frozen goes on."""
    restored: float
    """From the last start until the lab is as it was."""

    def times(self, patience: float) -> Bounds:
        return Bounds(**{field.name: getattr(self, field.name) * patience for field in fields(self)})


# Docker's swarm mode on such hosts: a new leader after 9-21 s, Down after 15 s where the leader lives (three missed
# heartbeats of 5 s). A follower gives its leader up after 10-20 s (election ticks of 1 s, at random), and calls are
# refused when it has had none for 10 s more: 27 s were seen. After a change of leader it takes long to move tasks:
# seen after 53 s, and not in 60 s.
# A manager that was off for a minute is Unreachable for up to another one: the others try again ever more rarely.
# So a majority that is back needs several rounds of election: 32-34 s of three managers, 59 s of five. A forced new
# cluster takes 30-38 s: a stop of 10 s, waits for those that are gone, and an election.
DOCKER = Bounds(
    refusal=45, leader=60, hung=60, recovery=120, noticed=40, moved=60, reported=75, service=60, agreed=150,
    restored=150,
)  # fmt: skip

# swarmd: what users may rely on, several times what is meant to be seen (etcd at 50/300 ms). Leader off: a write
# within 0.6 s, 1.5 s at the worst. Hung: the supervisor waits 2 s, so 3 s at the worst. Without a quorum it is said
# within 2 s. A host without power is Down after 3 s. A host boots in 2-5 s, and its manager needs 1-3 s more; a forced
# new cluster restores a snapshot.
SWARMD = Bounds(
    refusal=5, leader=5, hung=10, recovery=45, noticed=15, moved=30, reported=30, service=30, agreed=20, restored=90,
)  # fmt: skip

_BY_ENGINE = {"docker": DOCKER, "swarmd": SWARMD}


def bounds(spec: LabSpec) -> Bounds:
    """An engine that says nothing of its own times is held to Docker's. Slow machines get more: ``spec.patience``."""
    return _BY_ENGINE.get(spec.engine, DOCKER).times(spec.patience)
