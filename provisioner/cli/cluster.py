"""Verbs that change a lab: up, down, stop, start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provisioner import bringup, lab, leaving, state
from provisioner.cli import asking, showing
from provisioner.cli.opening import OpenLab, find, working_on
from provisioner.cli.options import DEFAULT, LabName, Quiet, example
from provisioner.errors import LabUnhealthy
from provisioner.lab import DEFAULT_MEMORY, DEFAULT_SUBNET
from provisioner.machines import select
from provisioner.progress import Progress


def register(app: typer.Typer) -> None:
    app.command(epilog=example("provision up --managers 3 --workers 2"))(up)
    app.command(epilog=example("provision down --name course-1"))(down)
    app.command(epilog=example("provision stop manager2 --power-off"))(stop)
    app.command(epilog=example("provision start manager2"))(start)
    app.command(epilog=example("provision suspend", "provision resume"))(suspend)
    app.command(epilog=example("provision resume"))(resume)


def up(
    name: LabName = DEFAULT,
    managers: Annotated[int | None, typer.Option(help="Hosts that keep the swarm's state.", show_default="3")] = None,
    workers: Annotated[int | None, typer.Option(help="Hosts that only run tasks.", show_default="0")] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            help="What makes the machines: lxc, vagrant, or inventory where they are there already.",
            show_default="lxc for root on Linux, else vagrant",
        ),
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="Whose swarm mode: docker or swarmd.", show_default="docker")
    ] = None,
    given: Annotated[
        Path | None,
        typer.Option("--inventory", "-i", help="Ansible inventory of machines with ssh; implies --provider inventory."),
    ] = None,
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
    hypervisor: Annotated[
        str | None,
        typer.Option(
            help="What Vagrant makes machines with: virtualbox, libvirt, lxc.",
            rich_help_panel="Virtual machines",
            show_default="what is there",
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(help="A box by name, path or URL.", rich_help_panel="Virtual machines", show_default="our own"),
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(help="MB for each machine.", rich_help_panel="Virtual machines", show_default=str(DEFAULT_MEMORY)),
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(help="CPUs of each machine.", rich_help_panel="Virtual machines", show_default="1")
    ] = None,
    isolated: Annotated[
        bool | None,
        typer.Option(
            "--isolated/--shared",
            help="A libvirt of the lab's own, in namespaces of its own (Linux, root).",
            rich_help_panel="Virtual machines",
            show_default="shared",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Bring up a lab: hosts, Docker on each, a swarm formed, and every check green.

    On a lab that exists it repairs what is not as it was asked for, and does nothing where all is.
    """
    progress = Progress(quiet=quiet)
    folder = state.folder(name)
    asked = {
        "managers": managers, "workers": workers, "provider": "inventory" if given and provider is None else provider,
        "engine": engine, "base": base, "subnet": lab.parse_subnet(subnet) if subnet else None, "offline": offline,
        "inventory": given, "hypervisor": hypervisor, "box": box, "memory": memory, "cpus": cpus, "isolated": isolated,
    }  # fmt: skip
    asked = {key: value for key, value in asked.items() if value is not None}
    with state.locked(folder, "up"):
        found = asking.record_of(folder, asked)
        record = found.record
        if not quiet:
            progress.note(f"provider {record.spec.made_by}{found.why and f': {found.why}'}")
        for warning in lab.warnings(record.spec):
            progress.warn(warning)
        opened = OpenLab(folder, record, select.provider(folder, record))
        for note in found.notes:
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


def _summary(progress: Progress, outcome: bringup.Outcome) -> None:
    if not outcome.differences:
        progress.note("all is as asked: nothing was to be done")
    elif progress.stages:
        total = sum(seconds for _, seconds in progress.stages)
        progress.note(f"{total:.1f} s in all")


def down(
    name: LabName = DEFAULT,
    every: Annotated[bool, typer.Option("--all", help="Take every lab away.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Give up machines of an inventory that cannot be cleared, and what is on them."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Take a lab away: hosts, disks, networks, files. Safe to repeat; what is not the lab's stays."""
    progress = Progress(quiet=quiet)
    for lab_name in state.lab_names() if every else [name]:
        _down(lab_name, progress, force=force)
    state.sweep_locks()


def _down(name: str, progress: Progress, *, force: bool) -> None:
    folder = state.folder(name)
    if not folder.path.exists():
        progress.note(f"there is no lab {name!r}: nothing to take away")
        return
    with state.locked(folder, "down"), progress.stage(f"Taking lab {name} away"):
        leaving.leave(folder, progress, force=force)
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
        bringup.recover(opened.folder, opened.record, opened.provider, progress)
    showing.print_status(find(name))


def suspend(hosts: Hosts = None, name: LabName = DEFAULT, quiet: Quiet = False) -> None:
    """Save virtual machines with their memory to disk and stop them; `resume` has them back in seconds."""
    with working_on(name, "suspend") as opened:
        opened.provider.suspend(_names(opened, hosts), Progress(quiet=quiet))


def resume(hosts: Hosts = None, name: LabName = DEFAULT, quiet: Quiet = False) -> None:
    """Bring suspended machines back where they were, with their clocks set."""
    start(hosts, name, quiet)


def _names(opened: OpenLab, hosts: list[str] | None) -> list[str]:
    return [opened.record.spec.host(host).name for host in hosts or [h.name for h in opened.record.spec.hosts]]
