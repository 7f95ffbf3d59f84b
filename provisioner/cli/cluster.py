"""Verbs that change a lab: up, down, stop, start."""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from provisioner import bringup, doctor, lab, state
from provisioner.cli import showing
from provisioner.cli.opening import OpenLab, find, require_root, working_on
from provisioner.cli.options import DEFAULT, LabName, Quiet, example
from provisioner.errors import LabNotFound, LabUnhealthy, UsageError
from provisioner.lab import DEFAULT_SUBNET, Base, LabSpec
from provisioner.machines import select
from provisioner.progress import Progress
from provisioner.state import Record

ENGINES = ("docker",)


def register(app: typer.Typer) -> None:
    app.command(epilog=example("provision up --managers 3 --workers 2"))(up)
    app.command(epilog=example("provision down --name course-1"))(down)
    app.command(epilog=example("provision stop manager2 --power-off"))(stop)
    app.command(epilog=example("provision start manager2"))(start)


def up(
    name: LabName = DEFAULT,
    managers: Annotated[int | None, typer.Option(help="Hosts that keep the swarm's state.", show_default="3")] = None,
    workers: Annotated[int | None, typer.Option(help="Hosts that only run tasks.", show_default="0")] = None,
    provider: Annotated[str | None, typer.Option(help="What makes the machines: lxc.", show_default="lxc")] = None,
    engine: Annotated[str | None, typer.Option(help="Whose swarm mode: docker.", show_default="docker")] = None,
    base: Annotated[
        str | None, typer.Option(help="The hosts' Debian: trixie (13) or bookworm (12).", show_default="trixie")
    ] = None,
    subnet: Annotated[
        str | None, typer.Option(help="The hosts' addresses.", metavar="CIDR", show_default=str(DEFAULT_SUBNET))
    ] = None,
    verify: Annotated[
        bool | None,
        typer.Option(
            "--verify/--no-verify", help="Run the checks afterwards.", show_default="when something was changed"
        ),
    ] = None,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Use and keep images of converged hosts.")] = True,
    offline: Annotated[bool | None, typer.Option("--offline/--online", help="Give the hosts no way out.")] = None,
    quiet: Quiet = False,
) -> None:
    """Bring up a lab: hosts, Docker on each, a swarm formed, and every check green.

    On a lab that exists it repairs what is not as it was asked for, and does nothing where all is.
    """
    require_root()
    progress = Progress(quiet=quiet)
    folder = state.folder(name)
    asked = {
        "managers": managers, "workers": workers, "provider": provider, "engine": engine, "base": base,
        "subnet": lab.parse_subnet(subnet) if subnet else None, "offline": offline,
    }  # fmt: skip
    spec = _spec(name, {key: value for key, value in asked.items() if value is not None})
    with state.locked(folder, "up"):
        record = _record(spec, {key for key, value in asked.items() if value is not None})
        if provider is None and not quiet:
            progress.note(f"provider {record.spec.provider}: Linux, root")
        for warning in lab.warnings(record.spec):
            progress.warn(warning)
        opened = OpenLab(folder, record, select.provider(folder, record))
        for note in opened.provider.preflight():
            progress.note(note)
        with opened.provider.working():
            outcome = bringup.up(folder, record, progress, verify=verify, cached=cache)
    if not quiet:
        _summary(progress, outcome)
    showing.print_status(opened)
    if outcome.report is not None:
        showing.results.print(f"checks: {outcome.report.words()}", highlight=False)
        outcome.report.require_passed()
    if not quiet:
        showing.print_next_steps(opened)


def _spec(name: str, asked: dict[str, object]) -> LabSpec:
    _one_of("provider", asked.get("provider"), select.PROVIDERS)
    _one_of("engine", asked.get("engine"), ENGINES)
    _one_of("base", asked.get("base"), get_args(Base))
    return lab.describe(name=name, **asked)  # type: ignore[arg-type]


def _one_of(what: str, value: object, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise UsageError(f"there is no {what} {str(value)!r}", hint=f"there is: {', '.join(known)}")


def _record(spec: LabSpec, asked: set[str]) -> Record:
    """The lab's record: the one that is there, provided that it is what was asked for, or a new one."""
    folder = state.folder(spec.name)
    try:
        record = state.load(folder)
    except LabNotFound:
        doctor.require()
        select.provider(folder, state.draft(spec)).preflight()
        return state.create(folder, spec)
    was = record.spec
    differing = {
        "managers": (len(was.managers), len(spec.managers)), "workers": (len(was.workers), len(spec.workers)),
        "provider": (was.provider, spec.provider), "engine": (was.engine, spec.engine), "base": (was.base, spec.base),
        "subnet": (was.subnet, spec.subnet), "offline": (was.offline, spec.offline),
    }  # fmt: skip
    changes = [
        f"{key} {old} (asked for: {new})" for key, (old, new) in differing.items() if key in asked and old != new
    ]
    if changes:
        raise UsageError(
            f"lab {spec.name!r} is there already, with {', '.join(changes)}",
            hint=f"give the new one another name (--name), or take this one away first: "
            f"provision down --name {spec.name}",
        )
    return record


def _summary(progress: Progress, outcome: bringup.Outcome) -> None:
    if not outcome.differences:
        progress.note("all is as asked: nothing was to be done")
    elif progress.stages:
        total = sum(seconds for _, seconds in progress.stages)
        progress.note(f"{total:.1f} s in all")


def down(
    name: LabName = DEFAULT,
    every: Annotated[bool, typer.Option("--all", help="Take every lab away.")] = False,
    quiet: Quiet = False,
) -> None:
    """Take a lab away: hosts, disks, networks, files. Safe to repeat; what is not the lab's stays."""
    require_root()
    progress = Progress(quiet=quiet)
    for lab_name in state.lab_names() if every else [name]:
        _down(lab_name, progress)
    state.sweep_locks()


def _down(name: str, progress: Progress) -> None:
    folder = state.folder(name)
    if not folder.path.exists():
        progress.note(f"there is no lab {name!r}: nothing to take away")
        return
    with state.locked(folder, "down"), progress.stage(f"Taking lab {name} away"):
        select.destroy(folder)


Hosts = Annotated[list[str] | None, typer.Argument(metavar="[HOST]...", help="Which hosts; all of them by default.")]


def stop(
    hosts: Hosts = None,
    power_off: Annotated[
        bool, typer.Option("--power-off", help="Pull the plug: the link first, then the host, at once.")
    ] = False,
    name: LabName = DEFAULT,
    quiet: Quiet = False,
) -> None:
    """Shut hosts down. Their disks stay; `start` brings them back."""
    progress = Progress(quiet=quiet)
    with working_on(name, "stop") as opened:
        names = _names(opened, hosts)
        if power_off:
            with progress.stage(f"Pulling the plug of {', '.join(names)}"):
                opened.provider.power_off(names)
        else:
            opened.provider.stop(names, progress)


def start(hosts: Hosts = None, name: LabName = DEFAULT, quiet: Quiet = False) -> None:
    """Start hosts that were stopped, or the whole lab after a reboot of the machine."""
    progress = Progress(quiet=quiet)
    with working_on(name, "start") as opened:
        names = _names(opened, hosts)
        absent = [m.name for m in opened.provider.machines() if m.name in names and m.state == "absent"]
        if absent:
            raise LabUnhealthy(
                f"lab {name!r} has no machine {', '.join(absent)} yet", hint=f"provision up --name {name}"
            )
        failures = opened.provider.start(names, progress)
        if failures:
            raise LabUnhealthy(
                "\n".join(failures.values()), hint=f"provision logs {next(iter(failures))} --name {name}"
            )
        bringup.settle(opened.record, opened.provider, progress)
    showing.print_status(find(name))


def _names(opened: OpenLab, hosts: list[str] | None) -> list[str]:
    return [opened.record.spec.host(host).name for host in hosts or [h.name for h in opened.record.spec.hosts]]
