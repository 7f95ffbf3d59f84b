"""Verbs that tell: status, list, inventory, use. They change nothing and need no lock."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from provisioner import state, swarm
from provisioner.cli.opening import OpenLab, find
from provisioner.cli.options import DEFAULT, Json, LabName, example
from provisioner.errors import ProvisionError
from provisioner.machines import Machine, MachineState
from provisioner.swarm import Node, Swarm

# A pipe has no width: lines are not to be folded there for a terminal of 80 columns.
PIPE_WIDTH = 200
results = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def register(app: typer.Typer) -> None:
    app.command(epilog=example("provision status --json"))(status)
    app.command("list", epilog=example("provision list"))(list_labs)
    app.command(epilog=example("provision inventory > lab.yml", "ansible -i lab.yml all -m ping"))(inventory)
    app.command(epilog=example('eval "$(provision use)"', "docker node ls"))(use)


def columns(*names: str, title: str | None = None) -> Table:
    """An empty table as all verbs print them: without lines, folded where it is too wide."""
    table = Table(
        title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0)
    )
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def status(name: LabName = DEFAULT, as_json: Json = False) -> None:
    """Show hosts, roles, leader, what runs where, and what the managers can still lose."""
    opened = find(name)
    if as_json:
        machines = opened.provider.machines()
        results.print_json(json.dumps(_as_data(opened, machines, swarm.read(machines))))
    else:
        print_status(opened)


def print_status(opened: OpenLab) -> None:
    machines = opened.provider.machines()
    seen = swarm.read(machines)
    spec = opened.record.spec
    title = ", ".join(
        [
            f"lab {spec.name}: {spec.made_by}",
            *([f"Debian {spec.base}"] if spec.base else []),
            f"engine {spec.engine}",
            *([str(spec.subnet)] if spec.subnet else []),
        ]
    )
    table = columns("HOST", "ADDRESS", "MACHINE", "ROLE", "SWARM", "ENGINE", "RUNS", title=title)
    for machine in machines:
        table.add_row(*_row(machine, seen))
    results.print(table)
    results.print(Text(seen.quorum.words("" if spec.name == DEFAULT else spec.name), style="bold"))
    if seen.error:
        results.print(Text(f"Docker says: {seen.error}", style="yellow"))


def _row(machine: Machine, seen: Swarm) -> tuple[str | Text, ...]:
    answer = seen.answer(machine.name)
    node = seen.node(machine.name)
    mark = Text(
        machine.state, style={"running": "green", "stopped": "yellow", "saved": "yellow"}.get(machine.state, "red")
    )
    role = node.role if node else answer.membership if answer.membership in ("manager", "worker") else "-"
    return (
        machine.name, str(machine.spec.address), mark, role, _membership(node, answer.error, machine),
        node.engine if node else "-", _running(machine, seen),
    )  # fmt: skip


def _membership(node: Node | None, error: str, machine: Machine) -> Text:
    if node is None:
        return Text(error.splitlines()[0][:40] if error and machine.state == "running" else "-", style="yellow")
    words = [node.status.capitalize()]
    if node.leader:
        words.append("Leader")
    elif node.reachability:
        words.append(node.reachability.capitalize())
    if node.availability != "active":
        words.append(node.availability.capitalize())
    return Text(", ".join(words), style="green" if node.status == "ready" else "red")


def _running(machine: Machine, seen: Swarm) -> str:
    services = Counter(task.service for task in seen.running_on(machine.name))
    return ", ".join(f"{service} x{count}" if count > 1 else service for service, count in services.items()) or "-"


def print_next_steps(opened: OpenLab) -> None:
    spec = opened.record.spec
    name = "" if spec.name == DEFAULT else f" --name {spec.name}"
    first = spec.hosts[0].name
    steps = {
        f"provision ssh {first}{name}": "a shell on a host",
        f'eval "$(provision use{name})"': "your own docker CLI talks to the swarm",
        f"provision chaos kill-leader{name}": "see Raft at work",
        f"provision down{name}": "take it all away",
    }
    if len(spec.managers) < 3:  # without its leader it would have no majority left
        del steps[f"provision chaos kill-leader{name}"]
    width = max(map(len, steps))
    results.print()
    for command, purpose in steps.items():
        results.print(f"  {command:<{width}}   {purpose}")


def _as_data(opened: OpenLab, machines: list[Machine], seen: Swarm) -> dict[str, Any]:
    spec = opened.record.spec
    return {
        "lab": spec.name,
        "id": opened.record.id,
        "created": opened.record.created.isoformat(),
        "spec": spec.model_dump(mode="json"),
        "hosts": [
            {
                "name": machine.name, "address": str(machine.spec.address), "state": machine.state,
                "answer": asdict(seen.answer(machine.name)),
                "node": asdict(node) if (node := seen.node(machine.name)) else None,
                "tasks": [asdict(task) for task in seen.running_on(machine.name)],
            }
            for machine in machines
        ],
        "quorum": {
            **asdict(seen.quorum), "needed": seen.quorum.needed, "kept": seen.quorum.kept, "words": seen.quorum.words(),
        },
        "error": seen.error,
    }  # fmt: skip


def list_labs(as_json: Json = False) -> None:
    """List the labs of this machine."""
    rows = [_lab_row(name) for name in state.lab_names()]
    if as_json:
        results.print_json(json.dumps(rows))
        return
    if not rows:
        results.print("no labs; make one: provision up --managers 3")
        return
    table = columns("LAB", "STATE", "MANAGERS", "WORKERS", "PROVIDER", "ENGINE", "SUBNET", "CREATED")
    for row in rows:
        table.add_row(*(str(row[key]) for key in row))
    results.print(table)


def _lab_row(name: str) -> dict[str, object]:
    try:
        opened = find(name)
    except ProvisionError as error:
        unknown = dict.fromkeys(("managers", "workers", "provider", "engine", "subnet", "created"), "-")
        return {"lab": name, "state": f"damaged ({error.message})", **unknown}
    spec = opened.record.spec
    try:
        whole = _whole(Counter(machine.state for machine in opened.provider.machines()), len(spec.hosts))
    except ProvisionError as error:  # its hypervisor may not answer, which is no reason to hide the other labs
        whole = f"unknown ({error.message})"
    return {
        "lab": name, "state": whole, "managers": len(spec.managers),
        "workers": len(spec.workers), "provider": spec.provider, "engine": spec.engine,
        "subnet": str(spec.subnet or "-"), "created": opened.record.created.strftime("%Y-%m-%d %H:%M"),
    }  # fmt: skip


def _whole(states: Counter[MachineState], hosts: int) -> str:
    if not states["running"]:
        return "stopped"
    return "running" if states["running"] == hosts else f"{states['running']} of {hosts} running"


def inventory(name: LabName = DEFAULT, as_json: Json = False) -> None:
    """Print the lab's Ansible inventory, which plain `ansible-playbook -i` accepts."""
    from provisioner import inventory as of_lab  # noqa: PLC0415 (yaml is slow to load, and status does without)

    opened = find(name)
    if as_json:
        results.print_json(json.dumps(of_lab.build(opened.record.spec, opened.folder)))
    else:
        typer.echo(of_lab.text(opened.record.spec, opened.folder), nl=False)


def use(
    name: LabName = DEFAULT,
    context: bool = typer.Option(False, "--context", help="Print the `docker context` commands instead."),
) -> None:
    """Print what makes your own docker CLI talk to a manager of the lab."""
    opened = find(name)
    managers = [machine for machine in opened.running() if machine.spec.role == "manager"]
    socket = f"unix://{(managers or opened.running())[0].docker_socket}"
    if context:
        typer.echo(f'docker context create {name} --docker "host={socket}"\ndocker context use {name}')
    else:
        typer.echo(f'export DOCKER_HOST="{socket}"')
