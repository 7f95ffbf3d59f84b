"""What labs of machines that are there already need of this one."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.doctor.finding import Finding, programs

PROVIDER = "inventory"


def examine() -> Iterator[Finding]:
    yield programs(PROVIDER, {"ssh": "openssh-client", "ssh-keyscan": "openssh-client"}, "no machine can be reached")
