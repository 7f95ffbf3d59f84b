"""The scenarios by name, and which of them a lab is played by default."""

from __future__ import annotations

from provisioner.chaos.faults import DIRECTIONS, Direction
from provisioner.chaos.force_new_cluster import ForceNewCluster
from provisioner.chaos.freeze_leader import FreezeLeader
from provisioner.chaos.hang_daemon import HangDaemon
from provisioner.chaos.kill_daemon import KillDaemon
from provisioner.chaos.kill_leader import KillLeader
from provisioner.chaos.kill_managers import KillManagers
from provisioner.chaos.kill_worker import KillWorker
from provisioner.chaos.partition_leader import PartitionLeader
from provisioner.chaos.scenario import Scenario
from provisioner.errors import UsageError
from provisioner.lab import LabSpec, tolerated_losses

NAMES = (
    "kill-managers", "kill-leader", "kill-worker", "kill-daemon", "hang-daemon", "partition-leader", "freeze-leader",
    "force-new-cluster",
)  # fmt: skip


def named(
    name: str, count: int | None = None, *, direction: str | None = None, seconds: float | None = None
) -> Scenario:
    """:param count: how many managers; kill-managers alone takes it, and takes one without it.
    :param direction: which way partition-leader cuts; both, without it.
    :param seconds: for how long freeze-leader freezes; without it, what suits the engine.
    :raises UsageError: there is no such scenario, or it does not take that.
    """
    if name not in NAMES:
        raise UsageError(f"there is no scenario {name!r}", hint=f"the scenarios are {', '.join(NAMES)}")
    given = {"kill-managers": count, "partition-leader": direction, "freeze-leader": seconds}
    options = {"kill-managers": "--count 2", "partition-leader": "--direction in", "freeze-leader": "--seconds 20"}
    for whose, value in given.items():
        if value is not None and name != whose:
            option = options[whose]
            raise UsageError(f"{name} takes no {option.split()[0]}", hint=f"provision chaos {whose} {option}")
    if name == "kill-managers":
        return KillManagers(1 if count is None else count)
    if name == "partition-leader":
        return PartitionLeader(_direction(direction))
    if name == "freeze-leader":
        return FreezeLeader(seconds)
    simple: tuple[Scenario, ...] = (KillLeader(), KillWorker(), KillDaemon(), HangDaemon(), ForceNewCluster())
    return next(scenario for scenario in simple if scenario.name == name)


def all_for(spec: LabSpec) -> list[Scenario]:
    """Every scenario that this lab can play; of kill-managers, as many as it can lose and one more.

    Where it can lose one, that one is the leader, and kill-leader plays it.
    """
    tolerated = tolerated_losses(len(spec.managers))
    asked: list[Scenario] = [KillWorker(), KillLeader(), KillDaemon(), HangDaemon()]
    asked += [PartitionLeader(direction) for direction in DIRECTIONS]
    asked.append(FreezeLeader())
    asked += [KillManagers(count) for count in (tolerated, tolerated + 1) if tolerated != 1 or count > 1]
    asked.append(ForceNewCluster())
    return [scenario for scenario in asked if _is_possible(scenario, spec)]


def _direction(asked: str | None) -> Direction:
    """:raises UsageError: there is no such direction."""
    for direction in DIRECTIONS:
        if asked in (None, direction):
            return direction
    raise UsageError(f"there is no direction {asked!r}", hint=f"the directions are {', '.join(DIRECTIONS)}")


def _is_possible(scenario: Scenario, spec: LabSpec) -> bool:
    try:
        scenario.expectations(spec)
    except UsageError:
        return False
    return True
