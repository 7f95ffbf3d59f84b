"""Management during an outage that leaves a quorum: what is expected of it, and how it is watched and used."""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.chaos import bystanders, sights
from provisioner.chaos.bounds import Bounds
from provisioner.chaos.experiment import Experiment
from provisioner.chaos.scenario import Expectation
from provisioner.chaos.timeline import LEADER_STAYS, MOVED, NEW_LEADER, NOTICED
from provisioner.chaos.watching import Sighting, Watch
from provisioner.chaos.workload import PREFIX
from provisioner.machines import Machine
from provisioner.swarm import Swarm, Task, connect, reason

PROBE = f"{PREFIX}probe"

_NOTHING_LOST = Expectation("nothing-lost", "every acknowledged write is found again on every manager")

# What holds wherever hosts are powered off …
COMMON = (
    Expectation("tasks", "tasks on hosts that stay on keep running, in the same containers"),
    _NOTHING_LOST,
    Expectation("restored", "with all hosts back the lab is as before"),
)
# … and where one stays on.
ONE_LEADER = Expectation("one-leader", "when it goes on, all managers name the same leader")
OTHERS_TASKS = Expectation("tasks", "tasks on the other hosts keep running, in the same containers")
ALL_TASKS = Expectation("tasks", "all tasks keep running, in the same containers")
COMMON_WHERE_ON = (_NOTHING_LOST, Expectation("restored", "in the end the lab is as before"))


def led_by_another(within: float) -> tuple[Expectation, ...]:
    """What is expected where the leader leads no more, and its host stays on."""
    return (
        Expectation("leader", f"a new leader is there within {within:g} s"),
        Expectation("writes", f"a write is accepted within {within:g} s"),
        Expectation("management", "the other managers answer; a service can be created, scaled and removed"),
    )


def watch_another_lead(experiment: Experiment, within: float) -> None:
    """Wait for a leader and a write, and use management."""
    experiment.watch(experiment.signs_of_management(NEW_LEADER, within=within))
    experiment.ask_survivors()
    use(experiment)


def goes_on(bound: Bounds, *, leader_lost: bool) -> tuple[Expectation, ...]:
    """What is expected while a quorum is left."""
    back = (
        Expectation("leader", f"a new leader is there within {bound.leader:g} s")
        if leader_lost
        else Expectation("leader", "the leader stays")
    )
    return (
        back,
        Expectation("writes", f"a write is accepted within {bound.leader:g} s of the power-off"),
        Expectation("noticed", f"the lost hosts are shown as Down or Unreachable within {bound.noticed:g} s"),
        Expectation("management", "every manager left answers; a service can be created, scaled and removed"),
    )


def watch_it_go_on(experiment: Experiment, victims: Sequence[str]) -> None:
    """Wait for a leader, a write and the loss being noticed; use management; see where the tasks went."""
    bound = experiment.bounds
    experiment.watch(
        [
            *experiment.signs_of_management(NEW_LEADER if experiment.leader in victims else LEADER_STAYS),
            Watch(NOTICED, sights.noticed(victims), bound.noticed),
        ]
    )
    experiment.ask_survivors()
    use(experiment)
    within = bound.moved if experiment.leader not in victims else bound.reported
    experiment.watch([Watch(MOVED, sights.tasks_running(experiment.replicas, victims), within)])


def use(experiment: Experiment) -> None:
    """Create a service through one manager, scale it through another, remove it; failures go into the outcome."""
    managers = experiment.managers()
    first, last = managers[0], managers[-1]
    try:
        with connect(first, experiment.bounds.service) as client:
            service = bystanders.create(client, name=PROBE, replicas=1)
        _await_replicas(experiment, 1)
        _scale(last, service, 3, experiment.bounds.service)
        _await_replicas(experiment, 3)
        with connect(last, experiment.bounds.service) as client:
            client.remove_service(service)
    except Exception as error:  # whatever went wrong is what management did
        experiment.failed(f"using management through {first.name} and {last.name}: {reason(error)}")


def _scale(machine: Machine, service: str, replicas: int, timeout: float) -> None:
    from docker.types import ServiceMode  # noqa: PLC0415

    with connect(machine, timeout) as client:
        seen = client.inspect_service(service)
        spec = seen["Spec"]
        client.update_service(
            service,
            seen["Version"]["Index"],
            name=spec["Name"],
            labels=spec["Labels"],
            task_template=spec["TaskTemplate"],
            mode=ServiceMode("replicated", replicas),
        )


def _await_replicas(experiment: Experiment, replicas: int) -> None:
    name = f"{PROBE} runs {replicas} {'replica' if replicas == 1 else 'replicas'}"

    def running(swarm: Swarm) -> list[Task]:
        return [task for task in swarm.tasks if task.service == PROBE and task.state == "running"]

    def look(swarm: Swarm) -> Sighting:
        count = len(running(swarm))
        return Sighting(count == replicas, f"{count} of {replicas} run")

    began = experiment.clock()
    experiment.watch([Watch(name, look, experiment.bounds.service)], since=began)
    if not experiment.measured(name).kept:
        experiment.failed(experiment.measured(name).words())
