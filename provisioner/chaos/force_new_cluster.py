"""force-new-cluster: a majority of the managers is gone for good, and a survivor makes a new cluster of what it knows.

The one-command recovery is ``docker swarm init --force-new-cluster --advertise-addr ADDRESS`` on the survivor.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.chaos import belongings, engines, management, rejoining, sights
from provisioner.chaos.belongings import Belongings
from provisioner.chaos.bounds import bounds
from provisioner.chaos.experiment import ENGINE_TIMEOUT, Experiment
from provisioner.chaos.outcome import Outcome
from provisioner.chaos.scenario import Expectation
from provisioner.chaos.timeline import NEW_LEADER, NOTICED
from provisioner.chaos.watching import Watch
from provisioner.errors import ProvisionError, UsageError
from provisioner.lab import LabSpec
from provisioner.machines import Machine
from provisioner.swarm import NO_LEADER, connect, reason

WORKERS = "workers are back"
# Within one call Docker waits several times for managers that are gone: 30-38 s were seen.
INIT_TIMEOUT = 90.0


@dataclass(frozen=True)
class ForceNewCluster:
    @property
    def name(self) -> str:
        return "force-new-cluster"

    def __str__(self) -> str:
        return self.name

    def purpose(self, spec: LabSpec) -> str:
        total = len(spec.managers)
        return (
            f"power off {total - 1} of {total} managers for good; "
            "the one that is left makes a new cluster, which the others join"
        )

    def expectations(self, spec: LabSpec) -> tuple[Expectation, ...]:
        if len(spec.managers) < 2:
            raise UsageError(
                f"lab {spec.name!r} has one manager: without it there is no survivor to make a new cluster",
                hint="make a lab with more: provision up --managers 3",
            )
        bound = bounds(spec)
        return (
            Expectation("refusal", f'the manager left answers "{NO_LEADER}" within {bound.refusal:g} s'),
            Expectation("no-write", "no write is accepted until the new cluster is made"),
            Expectation(
                "management-back", f"the new cluster has a leader and accepts writes within {bound.recovery:g} s"
            ),
            Expectation("kept", _kept(spec)),
            Expectation("tasks", "tasks keep running, on the survivor at least until it makes the new cluster"),
            *(expectation for expectation in management.COMMON if expectation.name != "tasks"),
        )

    def play(self, experiment: Experiment) -> Outcome:
        survivor = next(host for host in experiment.spec.managers if host.name != experiment.leader)
        victims = [host.name for host in experiment.spec.managers if host.name != survivor.name]
        before = _prepare(experiment, survivor.name)
        experiment.power_off(victims)
        experiment.watch_refusal(NOTICED, [survivor.name])
        experiment.ask_survivors()
        experiment.check_tasks("while there was no management")
        machine = next(machine for machine in experiment.running() if machine.name == survivor.name)
        experiment.heal = lambda: rejoining.rejoin_all(
            experiment.spec, experiment.provider, survivor.name, experiment.progress
        )
        since = experiment.begin_recovery(f"docker swarm init --force-new-cluster on {survivor.name}")
        _force(machine, str(survivor.address))
        bound = experiment.bounds
        signs = experiment.signs_of_management(NEW_LEADER, since=since, within=bound.recovery)
        if workers := _ids_of_workers(experiment):
            signs.append(Watch(WORKERS, sights.ready(workers), bound.recovery + bound.noticed))
        experiment.watch(signs, since=since)
        # Docker's engine stops being a node to become one of the new cluster, and takes its own tasks down with it.
        experiment.release_tasks(survivor.name)
        experiment.check_tasks("when the new cluster was made")
        _compare(experiment, machine, before)
        experiment.restore()
        return experiment.conclude(str(self), self.purpose(experiment.spec))


def _kept(spec: LabSpec) -> str:
    engine = engines.of(spec)
    kinds = ", ".join(f"{kind}s" for kind in engine.kinds)
    lacks = " and no ".join(f"{kind}s" for kind in engine.lacks)
    unseen = f" (engine {spec.engine} has no {lacks} yet, so none are looked for)" if lacks else ""
    return f"services, {kinds} and workers are those of the old cluster{unseen}"


def _prepare(experiment: Experiment, survivor: str) -> Belongings:
    machine = next(machine for machine in experiment.managers() if machine.name == survivor)
    with connect(machine, ENGINE_TIMEOUT) as client:
        kinds = engines.of(experiment.spec).kinds
        belongings.create(client, kinds)
        return belongings.read(client, kinds)


def _force(machine: Machine, address: str) -> None:
    try:
        with connect(machine, INIT_TIMEOUT) as client:
            client.init_swarm(advertise_addr=address, force_new_cluster=True)
    except Exception as error:
        raise ProvisionError(f"{machine.name} did not make a new cluster: {reason(error)}") from error


def _compare(experiment: Experiment, machine: Machine, before: Belongings) -> None:
    with connect(machine, ENGINE_TIMEOUT) as client:
        for what in before.missing(belongings.read(client, engines.of(experiment.spec).kinds)):
            experiment.missed(what)
    if experiment.spec.workers and not experiment.measured(WORKERS).kept:
        experiment.missed(experiment.measured(WORKERS).words())


def _ids_of_workers(experiment: Experiment) -> dict[str, str]:
    """Host -> node id, as they were before."""
    return {node.hostname: node.id for node in experiment.before.nodes if node.role == "worker"}
