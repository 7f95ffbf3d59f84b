"""`provision chaos`: say what is expected, play the scenario through its suite, and put together what it showed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.table import Table

from provisioner import checks
from provisioner.chaos import healing, rejoining
from provisioner.chaos.bounds import bounds
from provisioner.chaos.faults import Faults
from provisioner.chaos.force_new_cluster import ForceNewCluster
from provisioner.chaos.outcome import Outcome, from_json
from provisioner.chaos.scenario import Scenario
from provisioner.chaos.timeline import FAULTS
from provisioner.errors import ProvisionError
from provisioner.lab import LabSpec
from provisioner.machines import Provider, select
from provisioner.progress import Progress
from provisioner.report import Report
from provisioner.state import LabFolder, Record
from provisioner.swarm import read

SUITE = "failover"


@dataclass(frozen=True)
class Played:
    report: Report
    """An expectation that was not kept is one of its failures."""
    outcome: Outcome | None
    """None when the scenario broke off before it had shown anything; the report's failures say why."""


def announcement(scenario: Scenario, record: Record) -> Iterator[str]:
    """What is about to be done and what is expected, one line each.

    :raises UsageError: the scenario cannot be played on this lab.
    """
    healing.require_plugs(record.spec)
    expectations = scenario.expectations(record.spec)
    yield f"{scenario}: {scenario.purpose(record.spec)}"
    for expectation in expectations:
        yield f"  expected: {expectation.words}"


def play(lab: LabFolder, record: Record, scenario: Scenario, progress: Progress) -> Played:
    """Play a scenario on a lab and judge it. The lab is restored in any case, also on Ctrl-C.

    :raises UsageError: the scenario cannot be played on this lab.
    :raises LabUnhealthy: the lab is not as its spec says; nothing was broken.
    :raises ProvisionError: the suite did not run to its end.
    """
    scenario.expectations(record.spec)
    provider = select.provider(lab, record)
    healing.check(record.spec, provider)
    options = ["--scenario", *str(scenario).split()]
    try:
        report = checks.run(lab, [SUITE], progress=progress, log=lab.new_log(f"chaos-{scenario.name}"), options=options)
    except Exception:
        # The suite restores the lab itself, on Ctrl-C too; this is for one that was killed before it could.
        _bring_back(record.spec, provider, progress, forced=isinstance(scenario, ForceNewCluster))
        raise
    value = report.data.get(str(scenario))
    return Played(report, None if value is None else from_json(value))


def _bring_back(spec: LabSpec, provider: Provider, progress: Progress, *, forced: bool) -> None:
    leader = read(provider.machines()).quorum.leader
    if forced and leader:  # before the new cluster is made there is none
        rejoining.rejoin_all(spec, provider, leader, progress)
    else:
        Faults(spec, provider).end()
        healing.start_all(provider, progress)
    with progress.stage("Waiting until the lab is as before"):
        within = bounds(spec).restored
        healing.wait_until_healthy(spec, provider, within=within, doing=lambda text: progress.host("", text))
    manager = next(machine for machine in provider.machines() if machine.spec.role == "manager")
    healing.remove_leftovers(spec, manager)


def timeline_table(outcome: Outcome) -> Table:
    """The timeline, in seconds from the fault."""
    table = Table(title=f"{outcome.scenario}: {', '.join(outcome.victims)}", title_justify="left")
    table.add_column("seconds", justify="right")
    table.add_column("event")
    table.add_column("what was seen", overflow="fold")
    for event in outcome.events:
        style = "bold" if event.name in FAULTS else ""
        table.add_row(f"{outcome.after_kill(event):+.1f}", event.name, event.words, style=style)
    return table


def verdict_lines(outcome: Outcome) -> Iterator[str]:
    """The figures beside the timeline, one line each."""
    yield f"writes: {outcome.verdict.words()}"
    yield f"longest time without an accepted write: {outcome.longest_gap:.1f} s"
    yield f"containers that had to keep running: {len(outcome.watched)}, interrupted: {len(outcome.interrupted)}"
    yield f"history: {outcome.history}"


def require_outcome(played: Played) -> Outcome:
    """:raises ChecksFailed: the scenario broke off, or an expectation was not kept."""
    played.report.require_passed()
    if played.outcome is None:
        raise ProvisionError("the scenario showed nothing", log=played.report.log)
    return played.outcome
