"""Verbs that reach into a host: ssh, logs."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from provisioner.cli.opening import OpenLab, find
from provisioner.cli.options import DEFAULT, LabName, example
from provisioner.command import missing_program
from provisioner.errors import LabUnhealthy
from provisioner.machines import ssh as lab_ssh

Host = Annotated[str, typer.Argument(help="The host's name.")]


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example("provision ssh manager1", "provision ssh manager1 -- docker node ls"),
    )(ssh)
    app.command(epilog=example("provision logs manager1 --unit docker --follow"))(logs)


def ssh(
    host: Host,
    words: Annotated[list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What to run there.")] = None,
    name: LabName = DEFAULT,
) -> None:
    """Open a shell on a host, or run a command there; the exit code is the command's.

    As with ssh, the words are joined by spaces and read by the host's shell.
    """
    _become(find(name), host, words or [])


def logs(
    host: Host,
    unit: Annotated[str | None, typer.Option("--unit", "-u", help="One unit only, for example docker.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is logged from now on.")] = False,
    lines: Annotated[int, typer.Option(help="How many lines of the past.", min=0)] = 200,
    name: LabName = DEFAULT,
) -> None:
    """Print a host's journal; its console, where it is not running or ssh does not answer."""
    opened = find(name)
    machine = {machine.name: machine for machine in opened.provider.machines()}[opened.record.spec.host(host).name]
    if machine.state != "running":
        typer.echo(f"{host} is {machine.state}; its console's last lines:", err=True)
        typer.echo(opened.provider.console(host))
        return
    journal = ["journalctl", "--no-pager", f"--lines={lines}"]
    journal += [f"--unit={unit}"] if unit else []
    journal += ["--follow"] if follow else []
    _become(opened, host, journal if machine.spec.user == "root" else ["sudo", "-n", *journal])


def _become(opened: OpenLab, host: str, words: list[str]) -> None:
    """Replace this process by ssh, so that terminal, signals and exit code are ssh's own."""
    opened.record.spec.host(host)
    machine = next(machine for machine in opened.provider.machines() if machine.name == host)
    if machine.state != "running":
        name = opened.folder.name
        raise LabUnhealthy(f"{host} is {machine.state}", hint=f"provision start {host} --name {name}")
    options = ["-t"] if words and sys.stdin.isatty() and sys.stdout.isatty() else []
    argv = lab_ssh.argv(opened.folder, host, words, options=options)
    sys.stdout.flush()
    try:
        os.execvp(argv[0], argv)  # noqa: S606
    except FileNotFoundError as error:
        raise missing_program(argv[0]) from error
