"""One test per expectation that scenarios state; its sentence is the scenario's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from testinfra.host import Host

from provisioner.chaos import engines, history, workload
from provisioner.chaos.outcome import Outcome
from provisioner.chaos.scenario import Expectation
from provisioner.chaos.timeline import FIRST_WRITE, LEADER_STAYS, MOVED, NEW_LEADER, NOTICED, ONE_LEADER, REFUSED
from provisioner.chaos.verdict import judge
from provisioner.lab import LabSpec
from provisioner.suites.connection import everywhere, output
from provisioner.swarm import NO_LEADER

NODE_LS = "docker node ls --format '{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}'"


def proves(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """This test judges the expectation of that name."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        test.__doc__ = "{scenario}: {expectation}"
        marked: Callable[..., None] = pytest.mark.proves(name)(test)
        return marked

    return decorate


@proves("refusal")
def test_refusal(outcome: Outcome, spec: LabSpec, expectation: Expectation) -> None:
    assert outcome.measurement(NOTICED).kept, outcome.measurement(NOTICED).words()
    managers = {host.name for host in spec.managers}
    for refusal in outcome.refusals:
        assert refusal.host not in managers or refusal.words.startswith(NO_LEADER), (
            f"{refusal.host} answered: {refusal.words or 'the list of nodes'}"
        )


@proves("no-management")
def test_no_management(outcome: Outcome, expectation: Expectation) -> None:
    assert outcome.refusals, "no host was left to be asked"
    answering = [refusal.host for refusal in outcome.refusals if not refusal.words]
    assert not answering, f"these hosts still name the nodes: {', '.join(answering)}"


@proves("no-write")
def test_no_write(outcome: Outcome, expectation: Expectation) -> None:
    accepted = outcome.accepted_in_outage
    assert accepted == 0, f"{accepted} writes were acknowledged while no majority of the managers was on"


@proves("management-back")
def test_management_back(outcome: Outcome, expectation: Expectation) -> None:
    for name in (NEW_LEADER, FIRST_WRITE):
        assert outcome.measurement(name).kept, outcome.measurement(name).words()


@proves("leader")
def test_leader(outcome: Outcome, expectation: Expectation) -> None:
    lost = outcome.leader in outcome.victims
    seen = outcome.measurement(NEW_LEADER if lost else LEADER_STAYS)
    assert seen.kept, seen.words()
    assert lost or seen.last.split()[0] == outcome.leader, f"{outcome.leader} led before; now {seen.last}"


@proves("writes")
def test_writes(outcome: Outcome, expectation: Expectation) -> None:
    assert outcome.measurement(FIRST_WRITE).kept, outcome.measurement(FIRST_WRITE).words()


@proves("noticed")
def test_noticed(outcome: Outcome, expectation: Expectation) -> None:
    assert outcome.measurement(NOTICED).kept, outcome.measurement(NOTICED).words()


@proves("management")
def test_management(outcome: Outcome, spec: LabSpec, expectation: Expectation) -> None:
    managers = {host.name for host in spec.managers} - set(outcome.victims)
    silent = {refusal.host: refusal.words for refusal in outcome.refusals if refusal.host in managers and refusal.words}
    assert not silent, "; ".join(f"{host} answered: {words}" for host, words in silent.items())
    assert not outcome.management, "; ".join(outcome.management)


@proves("moved")
def test_moved(outcome: Outcome, expectation: Expectation) -> None:
    assert outcome.measurement(MOVED).kept, outcome.measurement(MOVED).words()


@proves("kept")
def test_kept(outcome: Outcome, expectation: Expectation) -> None:
    assert not outcome.missing, "; ".join(outcome.missing)


@proves("cut-refuses")
def test_cut_refuses(outcome: Outcome, expectation: Expectation) -> None:
    assert outcome.measurement(REFUSED).kept, outcome.measurement(REFUSED).words()


@proves("cut-accepts-nothing")
def test_cut_accepts_nothing(outcome: Outcome, expectation: Expectation) -> None:
    accepted = outcome.accepted_by_victims
    assert accepted == 0, f"{outcome.leader} acknowledged {accepted} writes while it was cut off"
    assert outcome.accepted_in_outage, (
        "no manager acknowledged a write meanwhile, so there was nothing to be cut off from"
    )


@proves("not-down")
def test_not_down(outcome: Outcome, spec: LabSpec, expectation: Expectation) -> None:
    patience = engines.of(spec).patience
    assert patience is not None
    falsely = [
        f"{called.host} was called Down after {called.seconds:.1f} s"
        for called in outcome.called_down
        if called.host not in outcome.victims or called.seconds < patience
    ]
    assert not falsely, "; ".join(falsely)


@proves("one-leader")
def test_one_leader(outcome: Outcome, expectation: Expectation) -> None:
    assert outcome.measurement(ONE_LEADER).kept, outcome.measurement(ONE_LEADER).words()


@proves("tasks")
def test_tasks(outcome: Outcome, hosts: Mapping[str, Host], expectation: Expectation) -> None:
    assert outcome.watched, "no task ran on a host that stayed on, so none could be watched"
    assert not outcome.interrupted, "; ".join(outcome.interrupted)
    for container in outcome.watched:
        if container.host in outcome.released:
            continue
        started = output(hosts[container.host], "docker inspect --format %s %s", "{{.State.StartedAt}}", container.id)
        assert started == container.started, f"{container.host}: {container.name} was restarted at {started}"


@proves("nothing-lost")
def test_nothing_lost(outcome: Outcome, managers: Mapping[str, Host], spec: LabSpec, expectation: Expectation) -> None:
    assert outcome.verdict.valid, outcome.verdict.words()
    names = [host.name for host in spec.managers]
    again = judge(history.load(Path(outcome.history)), everywhere(managers, lambda host: _labels(host, names)))
    assert again.valid, f"by the docker command: {again.words()}"


@proves("restored")
def test_restored(
    outcome: Outcome, hosts: Mapping[str, Host], managers: Mapping[str, Host], expectation: Expectation
) -> None:
    assert not outcome.restored, "; ".join(outcome.restored)
    for name, listing in everywhere(managers, lambda host: output(host, NODE_LS)).items():
        ready = sorted(line.split()[0] for line in listing.splitlines() if line.split()[1] == "Ready")
        assert ready == sorted(hosts), f"{name} lists as Ready: {', '.join(ready)}"


def _labels(host: Host, writers: list[str]) -> dict[str, set[int]]:
    """The numbers in the writers' services, as `docker service inspect` shows them."""
    found = {}
    for writer in writers:
        keys = "{{range $key, $value := .Spec.Labels}}{{$key}} {{end}}"
        labels = output(host, "docker service inspect --format %s %s", keys, workload.writer_service(writer)).split()
        found[writer] = {int(label.removeprefix("w.")) for label in labels if label.startswith("w.")}
    return found
