"""Machines as the user has given them: a lab's spec from an inventory, and what the lab keeps of the inventory."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from provisioner import state
from provisioner.errors import ProvisionError, UsageError
from provisioner.lab import Availability, HostSpec, LabSpec
from provisioner.machines import ssh
from provisioner.machines.inventory import reading, routes
from provisioner.machines.inventory.reading import GivenHost
from provisioner.machines.inventory.routes import Way
from provisioner.state import LabFolder

PROVIDER = "inventory"


class KeptHost(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    way: Way
    variables: dict[str, Any]
    """For the roles."""


class Kept(BaseModel):
    """What the lab keeps of the inventory, so that it needs the user's file no more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    hosts: dict[str, KeptHost]


@dataclass(frozen=True)
class Given:
    spec: LabSpec
    kept: Kept

    def keep(self, lab: LabFolder) -> None:
        state.write_atomically(_file(lab), self.kept.model_dump_json(indent=2) + "\n")


def describe(folder: LabFolder, path: Path, *, engine: str) -> Given:
    """What an inventory gives. Nothing is written, and no machine is asked.

    :raises UsageError: it is no inventory, or says what cannot be; the message names host and variable.
    """
    path = path.absolute()
    return of_answer(folder, path, reading.read(path), engine=engine)


def of_answer(folder: LabFolder, path: Path, answer: Mapping[str, Any], *, engine: str) -> Given:
    """As :func:`describe`, of an inventory that is read already."""
    hosts = reading.hosts(path, answer)
    beside = path if path.is_dir() else path.parent
    ways = {host.name: routes.find(host.name, host.variables, beside=beside) for host in hosts}
    specs = tuple(_spec(host, ways[host.name]) for host in hosts)
    _require_different_addresses(specs)
    kept = {host.name: KeptHost(way=ways[host.name], variables=_for_roles(host.variables)) for host in hosts}
    return Given(
        LabSpec(name=folder.name, provider=PROVIDER, engine=engine, base=None, subnet=None, hosts=specs),
        Kept(source=str(path), hosts=kept),
    )


def require_same(folder: LabFolder, path: Path) -> None:
    """Make sure that an inventory is about the machines of a lab that is there. What else it says, such as another
    key or other variables for the roles, is what holds from now on.

    :raises UsageError: it is about other machines, or gives them other roles.
    """
    record = state.load(folder)
    given = describe(folder, path, engine=record.spec.engine)
    was, asked = ({host.name: host for host in spec.hosts} for spec in (record.spec, given.spec))
    changes = [f"no {name} (asked for now)" for name in asked.keys() - was.keys()]
    changes += [f"{name} (asked for no more)" for name in was.keys() - asked.keys()]
    changes += [_change(was[name], asked[name]) for name in was.keys() & asked.keys() if was[name] != asked[name]]
    if changes:
        raise UsageError(
            f"lab {folder.name!r} is there already, with {', '.join(sorted(changes))}",
            hint="give the new one another name (--name), or take this one away first: "
            f"provision down --name {folder.name}",
        )
    given.keep(folder)


def kept(lab: LabFolder) -> Kept:
    """:raises ProvisionError: the lab has lost it."""
    try:
        return Kept.model_validate_json(_file(lab).read_text())
    except (FileNotFoundError, ValidationError) as error:
        raise ProvisionError(
            f"what lab {lab.name!r} keeps of its inventory is missing or damaged: {_file(lab)}",
            hint=f"give the inventory again: provision up --provider inventory -i hosts.yml --name {lab.name}",
        ) from error


def is_of(lab: LabFolder) -> bool:
    """Whether the lab is of this provider, known without its record."""
    return _file(lab).exists()


def write_ssh_config(lab: LabFolder, spec: LabSpec) -> None:
    """Write the lab's ssh_config: the inventory's and the user's own settings for each machine."""
    ways = {name: host.way for name, host in kept(lab).hosts.items()}
    route = [
        ssh.Route(
            host, ways[host.name].host, ways[host.name].port,
            # Two machines in different networks may have the same address; the lab's names are different ones.
            {**ways[host.name].options, "ControlPath": f'"{ssh.control_folder(lab)}/{host.name}"'},
        )
        for host in spec.hosts
    ]  # fmt: skip
    # Nobody sits there to be asked for a passphrase: keys that have one are in the user's agent.
    ssh.write_config(lab, route, more="  BatchMode yes\n")


def touched(lab: LabFolder) -> list[str]:
    """The machines that something may have been done to."""
    try:
        return _touched(lab).read_text().split()
    except FileNotFoundError:
        return []


def touch(lab: LabFolder, names: Iterable[str]) -> None:
    """Note machines that something is about to be done to."""
    state.write_atomically(_touched(lab), "".join(f"{name}\n" for name in sorted({*touched(lab), *names})))


def _touched(lab: LabFolder) -> Path:
    return lab.path / "touched"


def _file(lab: LabFolder) -> Path:
    return lab.path / "given.json"


def _spec(host: GivenHost, way: Way) -> HostSpec:
    return HostSpec(
        name=host.name, role=host.role, address=_address(host, way), user=way.user,
        labels=_labels(host), availability=_availability(host),
    )  # fmt: skip


def _availability(host: GivenHost) -> Availability:
    wanted = host.variables.get("swarm_availability") or "active"
    known: tuple[Availability, ...] = get_args(Availability)
    for availability in known:
        if wanted == availability:
            return availability
    raise UsageError(f"{host.name}: swarm_availability is {wanted!r}", hint=f"there is: {', '.join(known)}")


def _labels(host: GivenHost) -> dict[str, str]:
    labels = host.variables.get("swarm_labels") or {}
    if not isinstance(labels, dict) or any(isinstance(value, dict | list | bool) for value in labels.values()):
        raise UsageError(
            f"{host.name}: swarm_labels is {labels!r}", hint="give names with texts, for example {disk: ssd, zone: a}"
        )
    return {str(name): "" if value is None else str(value) for name, value in labels.items()}


def _address(host: GivenHost, way: Way) -> IPv4Address:
    """What the machine advertises: its own word for it, else the address that ssh goes to.

    :raises UsageError: there is none, or one that the other machines cannot reach.
    """
    cure = f"give {host.name} the address that the other machines reach it by: swarm_advertise_addr: 10.0.0.10"
    named = host.variables.get("swarm_advertise_addr")
    try:
        address = ipaddress.IPv4Address(named) if named else _resolved(way.host)
    except ValueError as error:
        what = f"swarm_advertise_addr is {named!r}, which is" if named else f"{way.host} is"
        raise UsageError(f"{host.name}: {what} no IPv4 address", hint=cure) from error
    except OSError as error:
        raise UsageError(
            f"{host.name}: this machine finds no IPv4 address of {way.host}: {error.strerror or error}", hint=cure
        ) from error
    if address.is_loopback or address.is_unspecified:
        raise UsageError(f"{host.name}: the other machines cannot reach it at {address}", hint=cure)
    return address


def _resolved(host: str) -> IPv4Address:
    if ":" in host:
        raise ValueError(host)
    return IPv4Address(str(socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]))


def _require_different_addresses(hosts: Sequence[HostSpec]) -> None:
    seen: dict[IPv4Address, str] = {}
    for host in hosts:
        if other := seen.get(host.address):
            raise UsageError(f"{other} and {host.name} have the same address, {host.address}")
        seen[host.address] = host.name


def _for_roles(variables: Mapping[str, Any]) -> dict[str, Any]:
    """All but Ansible's own, which are the lab's affair; its Python and its temporary folder are the machine's."""
    ours = ("ansible_python_interpreter", "ansible_remote_tmp")
    return {name: value for name, value in variables.items() if name in ours or not name.startswith("ansible_")}


def _change(was: HostSpec, asked: HostSpec) -> str:
    before, after = was.model_dump(mode="json"), asked.model_dump(mode="json")
    words = [f"{key} {before[key]} (asked for: {after[key]})" for key in before if before[key] != after[key]]
    return f"{was.name}'s {' and '.join(words)}"
