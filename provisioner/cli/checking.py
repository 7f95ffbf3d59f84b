"""Verbs that judge a lab: verify, chaos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from provisioner import checks
from provisioner.chaos import catalogue
from provisioner.chaos import command as scenarios
from provisioner.cli.opening import working_on
from provisioner.cli.options import DEFAULT, Json, LabName, Quiet, example
from provisioner.cli.showing import results
from provisioner.progress import Progress

Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit's XML there.")]


def register(app: typer.Typer) -> None:
    app.command(epilog=example("provision verify", "provision verify overlay --junit overlay.xml"))(verify)
    app.command(epilog=example("provision chaos kill-managers --count 2"))(chaos)


def verify(
    suites: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SUITE]...", help=f"Which: {', '.join(checks.available())}; all but failover by default."
        ),
    ] = None,
    name: LabName = DEFAULT,
    junit: Junit = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a lab: hosts, topology, overlay networks, services; failover (destructive) by name only."""
    progress = Progress(quiet=quiet)
    with working_on(name, "verify") as opened:
        report = checks.run(
            opened.folder, suites or [], progress=progress, log=opened.folder.new_log("verify"), junit=junit
        )
    if as_json:
        results.print_json(json.dumps(report.as_dict()))
    else:
        results.print(report.words(), highlight=False)
    report.require_passed()


def chaos(
    scenario: Annotated[str, typer.Argument(help=f"Which: {', '.join(catalogue.NAMES)}.")],
    count: Annotated[int | None, typer.Option(help="How many managers kill-managers kills.", show_default="1")] = None,
    direction: Annotated[
        str | None,
        typer.Option(help="What partition-leader cuts: both directions, in or out.", show_default="both"),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="How long freeze-leader freezes.", show_default="what suits the engine")
    ] = None,
    name: LabName = DEFAULT,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Break hosts on purpose and show what Raft does: say what is expected, break, measure, restore, judge.

    The lab is as before afterwards. The exit code is 5 when an expectation was not kept.
    """
    progress = Progress(quiet=quiet)
    chosen = catalogue.named(scenario, count, direction=direction, seconds=seconds)
    with working_on(name, "chaos") as opened:
        for line in scenarios.announcement(chosen, opened.record):
            (progress.note if as_json else results.print)(line)
        played = scenarios.play(opened.folder, opened.record, chosen, progress)
    if as_json:
        results.print_json(json.dumps(played.report.as_dict()))
    elif played.outcome is not None:
        results.print(scenarios.timeline_table(played.outcome))
        for line in scenarios.verdict_lines(played.outcome):
            results.print(line)
        results.print(f"expectations: {played.report.words()}")
    scenarios.require_outcome(played)
