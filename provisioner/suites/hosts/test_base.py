"""The machine below Docker."""

from __future__ import annotations

import time

import pytest
from testinfra.host import Host

from provisioner.lab import HostSpec, LabSpec
from provisioner.suites.connection import output
from provisioner.suites.waiting import wait_until

BOOT_SECONDS = 60

# Room for the images of the suites and for what a course adds; Docker itself fails oddly when the disk is full.
FREE_MEBIBYTES = 1024

# Swarm's certificates are made out for an hour before their time, Raft needs no clock: this is for people and logs.
CLOCK_SECONDS = 5


def test_hostname(host: Host, host_name: str) -> None:
    """{host_name} calls itself by its name."""
    name = output(host, "hostname")
    assert name == host_name, f"the kernel's hostname on {host_name} is {name!r}"


def test_hostname_is_kept(host: Host, host_name: str) -> None:
    """{host_name} keeps its name when it is restarted."""
    name = host.file("/etc/hostname").content_string.strip()
    assert name == host_name, f"/etc/hostname on {host_name} says {name!r}"


def test_address(host: Host, host_name: str, host_spec: HostSpec) -> None:
    """{host_name} has the address that the lab gives it."""
    addresses = output(host, "hostname --all-ip-addresses").split()
    assert str(host_spec.address) in addresses, (
        f"{host_name} should have {host_spec.address}, it has {', '.join(addresses) or 'none'}"
    )


def test_resolution(host: Host, host_name: str, spec: LabSpec) -> None:
    """{host_name} resolves the name of every other host."""
    others = [other for other in spec.hosts if other.name != host_name]
    names = " ".join(other.name for other in others)
    listing = output(
        host, f"for name in {names}; do echo $name $(getent ahostsv4 $name | cut -d' ' -f1 | sort -u); done"
    )
    found = dict(line.partition(" ")[::2] for line in listing.splitlines())
    wrong = [
        f"{other.name} is {found.get(other.name) or 'not found'} instead of {other.address}"
        for other in others
        if found.get(other.name) != str(other.address)
    ]
    assert not wrong, f"on {host_name} " + ", ".join(wrong)


def test_release(host: Host, host_name: str, spec: LabSpec) -> None:
    """{host_name} runs the Debian release that the lab was made from."""
    codename = host.system_info.codename
    if spec.base is None:
        pytest.skip("the lab asks for no release")
    assert codename == spec.base, f"{host_name} runs {codename or 'an unknown release'}, the lab is of {spec.base}"


def test_systemd(host: Host, host_name: str) -> None:
    """systemd on {host_name} is up, and no unit has failed."""

    def system_state() -> str:
        return str(host.run("systemctl is-system-running").stdout).strip()

    state = wait_until(
        f"{host_name} has booted",
        system_state,
        lambda seen: seen not in ("initializing", "starting"),
        seconds=BOOT_SECONDS,
    )
    failed = output(host, "systemctl list-units --state=failed --plain --no-legend | cut -d' ' -f1").split()
    assert state == "running", f"systemd on {host_name} is {state}; failed units: {', '.join(failed) or 'none'}"


def test_disk(host: Host, host_name: str) -> None:
    """{host_name} has room for images and containers."""
    free = int(output(host, "df --output=avail --block-size=1M /var/lib/docker | tail -n 1"))
    assert free >= FREE_MEBIBYTES, f"/var/lib/docker on {host_name} has {free} MiB left, {FREE_MEBIBYTES} are needed"


def test_disk_is_writable(host: Host, host_name: str) -> None:
    """What is written on {host_name} reaches its disk."""
    done = host.run("f=$(mktemp /var/lib/docker/check-XXXXXX) && echo x >$f && sync $f && rm $f")
    assert done.rc == 0, f"/var/lib/docker on {host_name} cannot be written: {done.stderr.strip()}"


def test_clock(host: Host, host_name: str) -> None:
    """The clock of {host_name} agrees with this machine's."""
    before = time.time()
    there = float(output(host, "date +%s.%N"))
    off = max(before - there, there - time.time(), 0.0)
    assert off <= CLOCK_SECONDS, f"the clock of {host_name} is {off:.0f} s off"
