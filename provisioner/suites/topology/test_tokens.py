"""The join tokens. They are secrets: the hosts compare them and print only what is public, the CA's digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources

import pytest
from testinfra.host import Host

from provisioner.lab import LabSpec
from provisioner.suites.connection import everywhere, output

ROLES = pytest.mark.parametrize("role", ["worker", "manager"])

# SWMTKN-1-<SHA-256 of the CA, base 36, 50 digits>-<16 random bytes, base 36, 25 digits>
DIGEST_DIGITS = 50
FORM = "^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$"
TOKEN = "docker swarm join-token --quiet"  # noqa: S105 (a command)
CA = "docker info --format '{{.Swarm.Cluster.TLSInfo.TrustRoot}}'"

HANDSHAKE = (resources.files("provisioner.suites.topology") / "handshake.py").read_text()


def base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits.rjust(DIGEST_DIGITS, "0")


@ROLES
def test_form(role: str, manager: Host) -> None:
    """The {role} token has the form that `docker swarm join` takes."""
    done = manager.run(f"set -o pipefail; {TOKEN} {role} | grep --extended-regexp --quiet '{FORM}'")
    assert done.rc == 0, f"the {role} token has another form, or there is none: {done.stderr.strip() or 'no error'}"


@ROLES
def test_pins_the_ca(role: str, manager: Host) -> None:
    """The {role} token pins the CA of this swarm."""
    pinned = output(manager, f"{TOKEN} {role} | cut --delimiter=- --fields=3")
    certificate = output(manager, CA).strip() + "\n"
    digest = base36(int(hashlib.sha256(certificate.encode()).hexdigest(), 16))
    assert pinned == digest, f"the {role} token pins the CA {pinned}, the swarm's CA is {digest}"


def test_differ(manager: Host) -> None:
    """The worker token does not make managers: the two differ."""
    done = manager.run(f'[ "$({TOKEN} worker)" != "$({TOKEN} manager)" ]')
    assert done.rc == 0, f"the worker's and the manager's token are the same {done.stderr.strip()}"


@ROLES
def test_same_everywhere(role: str, managers: Mapping[str, Host]) -> None:
    """Every manager hands out the same {role} token."""
    # The secret is 128 random bits: its hash gives nothing away.
    seen = everywhere(managers, lambda host: output(host, f"set -o pipefail; {TOKEN} {role} | sha256sum"))
    assert len(set(seen.values())) == 1, f"{', '.join(seen)} give out {len(set(seen.values()))} different {role} tokens"


def test_managers_present_the_ca(host_name: str, host: Host, spec: LabSpec, manager: Host) -> None:
    """{host_name} reaches every manager on port 2377 and meets the CA that the tokens pin."""
    addresses = {str(one.address): one.name for one in spec.managers}
    answers = output(host, "python3 -c %s %s " + " ".join(addresses), HANDSHAKE, output(manager, CA))
    wrong = []
    for line in answers.splitlines():
        address, _, answer = line.partition(" ")
        if answer != "ok":
            wrong.append(f"{addresses[address]} ({address}:2377): {answer}")
    assert not wrong, f"from {host_name}, " + "; ".join(wrong)
