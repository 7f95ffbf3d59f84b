"""The scenarios by name, and which of them a lab is played by default."""

from __future__ import annotations

from provisioner.chaos.force_new_cluster import ForceNewCluster
from provisioner.chaos.kill_leader import KillLeader
from provisioner.chaos.kill_managers import KillManagers
from provisioner.chaos.kill_worker import KillWorker
from provisioner.chaos.scenario import Scenario
from provisioner.errors import UsageError
from provisioner.lab import LabSpec, tolerated_losses

NAMES = ("kill-managers", "kill-leader", "kill-worker", "force-new-cluster")


def named(name: str, count: int | None = None) -> Scenario:
    """:param count: how many managers; kill-managers alone takes it, and takes one without it.
    :raises UsageError: there is no such scenario, or it takes no count.
    """
    if name == "kill-managers":
        return KillManagers(1 if count is None else count)
    if count is not None:
        raise UsageError(f"{name} takes no --count", hint="provision chaos kill-managers --count 2")
    for scenario in (KillLeader(), KillWorker(), ForceNewCluster()):
        if scenario.name == name:
            return scenario
    raise UsageError(f"there is no scenario {name!r}", hint=f"the scenarios are {', '.join(NAMES)}")


def all_for(spec: LabSpec) -> list[Scenario]:
    """Every scenario that this lab can play; of kill-managers, as many as it can lose and one more.

    Where it can lose one, that one is the leader, and kill-leader plays it.
    """
    tolerated = tolerated_losses(len(spec.managers))
    asked: list[Scenario] = [KillWorker(), KillLeader()]
    asked += [KillManagers(count) for count in (tolerated, tolerated + 1) if tolerated != 1 or count > 1]
    asked.append(ForceNewCluster())
    return [scenario for scenario in asked if _is_possible(scenario, spec)]


def _is_possible(scenario: Scenario, spec: LabSpec) -> bool:
    try:
        scenario.expectations(spec)
    except UsageError:
        return False
    return True
