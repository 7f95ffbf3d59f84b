"""The lab as it was asked for: a frozen, fully validated description of its hosts. Nothing here touches a machine."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from provisioner.errors import UsageError

Role = Literal["manager", "worker"]
Availability = Literal["active", "pause", "drain"]
Base = Literal["trixie", "bookworm"]
Hypervisor = Literal["virtualbox", "libvirt", "lxc"]
BASES: tuple[Base, ...] = get_args(Base)
HYPERVISORS: tuple[Hypervisor, ...] = get_args(Hypervisor)

DEFAULT_NAME = "lab"
DEFAULT_BASE: Base = "trixie"
DEFAULT_SUBNET = IPv4Network("192.168.56.0/24")
FIRST_HOST = 10  # as in the walkthrough: manager1 is .10; .1 is the lab's gateway
RECOMMENDED_MANAGERS = 7
# An idle manager uses 190 MB of a virtual machine's memory, 280 to 360 MB with a cluster store beside it (measured).
DEFAULT_MEMORY = 768
# Software emulation is four to six times slower than the same work in a container (measured: boot, Docker's start).
EMULATION_FACTOR = 5.0
# Multiplies the waits for hosts of every lab, on a machine that is itself slow: emulated, or a small board.
PATIENCE_VARIABLE = "PROVISION_PATIENCE"

# A name becomes a folder, a cgroup and part of a socket path (108 bytes at most, unix(7)).
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")


class HostSpec(BaseModel):
    """One machine of the lab."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    role: Role
    address: IPv4Address
    """What it advertises to the swarm, and what the other hosts know its name as."""
    user: str = "root"
    """Who logs in by ssh; anyone but root may sudo without a password."""
    labels: dict[str, str] = {}
    availability: Availability = "active"


class VagrantSpec(BaseModel):
    """What virtual machines are made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hypervisor: Hypervisor
    """Vagrant's own word for it is provider."""
    box: str = ""
    """A box by name, path or URL; our own where empty."""
    packages: bool = False
    """Whether the box holds all packages that the roles install, Docker's included."""
    memory: int = DEFAULT_MEMORY
    """MB."""
    cpus: int = 1
    isolated: bool = False
    """Whether the lab has a libvirt of its own, in namespaces of its own."""
    emulated: bool = False
    """Whether the machines run without the help of the processor."""


class LabSpec(BaseModel):
    """All that decides what a lab is; equal specs make equal labs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    provider: str
    engine: str
    base: Base | None
    """The hosts' Debian; None where it is whatever the machines have."""
    subnet: IPv4Network | None
    """Where provision numbers the hosts; None where they have their addresses already."""
    hosts: tuple[HostSpec, ...]
    offline: bool = False
    vagrant: VagrantSpec | None = None

    @property
    def managers(self) -> tuple[HostSpec, ...]:
        return tuple(host for host in self.hosts if host.role == "manager")

    @property
    def workers(self) -> tuple[HostSpec, ...]:
        return tuple(host for host in self.hosts if host.role == "worker")

    @property
    def network(self) -> IPv4Network:
        """The subnet of a lab whose hosts provision numbers.

        :raises UsageError: they have their addresses already.
        """
        if self.subnet is None:
            raise UsageError(f"lab {self.name!r} has no subnet: its machines were there before it")
        return self.subnet

    @property
    def gateway(self) -> IPv4Address:
        return self.network.network_address + 1

    @property
    def virtual(self) -> VagrantSpec:
        """What the lab's virtual machines are made of.

        :raises UsageError: it has none.
        """
        if self.vagrant is None:
            raise UsageError(f"lab {self.name!r} has no virtual machines")
        return self.vagrant

    @property
    def made_by(self) -> str:
        """The provider in words, such as "vagrant (libvirt, emulated)"."""
        if self.vagrant is None:
            return self.provider
        kinds: list[str] = [self.vagrant.hypervisor]
        kinds += ["isolated"] if self.vagrant.isolated else []
        kinds += ["emulated"] if self.vagrant.emulated else []
        return f"{self.provider} ({', '.join(kinds)})"

    @property
    def patience(self) -> float:
        """By what waits for these hosts are multiplied.

        :raises UsageError: what the environment says of this machine is no number.
        """
        factor = os.environ.get(PATIENCE_VARIABLE, "1")
        try:
            of_machine = float(factor)
        except ValueError:
            raise UsageError(f"{PATIENCE_VARIABLE}={factor} is not a number", hint="a slow machine: 2 or 5") from None
        return of_machine * (EMULATION_FACTOR if self.vagrant is not None and self.vagrant.emulated else 1.0)

    def host(self, name: str) -> HostSpec:
        """:raises UsageError: the lab has no host of that name."""
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts)
        raise UsageError(f"lab {self.name!r} has no host {name!r}", hint=f"its hosts are {known}")


def describe(
    *,
    name: str = DEFAULT_NAME,
    managers: int = 3,
    workers: int = 0,
    provider: str = "lxc",
    engine: str = "docker",
    base: Base | None = DEFAULT_BASE,
    subnet: IPv4Network = DEFAULT_SUBNET,
    offline: bool = False,
    vagrant: VagrantSpec | None = None,
    user: str = "root",
) -> LabSpec:
    """The spec of a lab with hosts manager1… and worker1…, addressed from .10 upward in that order.

    :raises UsageError: what was asked for cannot be; the message says why.
    """
    valid_name(name)
    if managers < 1:
        raise UsageError(
            f"a swarm needs at least one manager, {managers} were asked for", hint="provision up --managers 3"
        )
    if workers < 0:
        raise UsageError(f"the number of workers cannot be {workers}")
    valid_subnet(subnet, hosts=managers + workers)
    names: list[tuple[str, Role]] = [(f"manager{n}", "manager") for n in range(1, managers + 1)]
    names += [(f"worker{n}", "worker") for n in range(1, workers + 1)]
    hosts = tuple(
        HostSpec(name=host, role=role, address=subnet.network_address + FIRST_HOST + index, user=user)
        for index, (host, role) in enumerate(names)
    )
    return LabSpec(
        name=name, provider=provider, engine=engine, base=base, subnet=subnet, hosts=hosts, offline=offline,
        vagrant=vagrant,
    )  # fmt: skip


def valid_name(name: str) -> str:
    """:raises UsageError: a lab cannot be called that."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid name for a lab",
            hint="use 1 to 30 lower-case letters, digits and inner hyphens, for example 'course-1'",
        )
    return name


def parse_subnet(text: str) -> IPv4Network:
    """:raises UsageError: not an IPv4 network in CIDR notation."""
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not an IPv4 subnet: {error}",
            hint="give it in CIDR notation, for example 192.168.56.0/24",
        ) from error


def valid_subnet(subnet: IPv4Network, *, hosts: int) -> IPv4Network:
    """:raises UsageError: it is not private, or does not hold that many hosts."""
    private = [ipaddress.IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
    if not any(subnet.subnet_of(block) for block in private):
        raise UsageError(
            f"the subnet {subnet} is not in a private range (RFC 1918)",
            hint="use one within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
        )
    # Addresses below .10 are kept for the gateway and for what a course puts there; the last one is broadcast.
    room = max(0, subnet.num_addresses - FIRST_HOST - 1)
    if hosts > room:
        needed = hosts + FIRST_HOST + 1
        prefix = 32 - (needed - 1).bit_length()
        raise UsageError(
            f"the subnet {subnet} has room for {room} hosts (from .{FIRST_HOST} upward), {hosts} were asked for",
            hint=f"use a /{prefix} or larger",
        )
    return subnet


def warnings(spec: LabSpec) -> Iterator[str]:
    """What is allowed but unwise, one sentence each."""
    count = len(spec.managers)
    if count % 2 == 0:
        tolerated = tolerated_losses(count)
        yield (
            f"{count} managers tolerate {tolerated} {_losses(tolerated)}, no more than {count - 1} do: "
            f"a majority of {count} is {majority(count)}. An odd number is advised."
        )
    if count > RECOMMENDED_MANAGERS:
        yield (
            f"{count} managers: each write waits for {majority(count)} of them. "
            f"Docker advises {RECOMMENDED_MANAGERS} at most; make the others workers."
        )


def majority(managers: int) -> int:
    return managers // 2 + 1


def tolerated_losses(managers: int) -> int:
    return managers - majority(managers)


def _losses(count: int) -> str:
    return "loss" if count == 1 else "losses"
