"""The optional way out of a lab's network: slirp4netns, a TCP/IP stack in a process (the one of rootless Docker).

The machine's own namespace gets no interface, no rule and no forwarding, so neither a FORWARD policy of DROP nor
another lab can be in the way, and nothing has to be put back.
"""

from __future__ import annotations

import os
import select
from pathlib import Path

from provisioner import command
from provisioner.errors import ProvisionError
from provisioner.machines.namespaces.keeper import Keeper

NAME = "uplink"
# slirp4netns takes .2 as its gateway and .3 as its name server. 100.64.0.0/10 (RFC 6598) is no lab's range.
CIDR = "100.64.0.0/24"
DNS = "100.64.0.3"
READY_SECONDS = 10

_MASQUERADE = f"""
sysctl -qw net.ipv4.ip_forward=1
nft -f - <<'END'
table ip provision
delete table ip provision
table ip provision {{
  chain postrouting {{
    type nat hook postrouting priority srcnat
    oifname "{NAME}" masquerade
  }}
}}
END
"""


def start(keeper: Keeper, part: str, log_path: Path) -> None:
    """Give the lab's network namespace a default route through the machine, masqueraded.

    :param part: the part of the lab's cgroup that slirp4netns runs in.
    :raises ProvisionError: it did not start.
    """
    readable, writable = os.pipe()
    try:
        with log_path.open("a") as log:
            keeper.spawn(
                part,
                ["slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", f"--cidr={CIDR}",
                 f"--ready-fd={writable}", "--netns-type=path", f"/proc/{keeper.pid}/ns/net", NAME],
                log=log, pass_fds=[writable],
            )  # fmt: skip
        os.close(writable)
        writable = -1
        ready, _, _ = select.select([readable], [], [], READY_SECONDS)
        if not ready or os.read(readable, 1) != b"1":
            raise ProvisionError("the lab's way out did not start", hint="`--offline` leaves it out", log=log_path)
    finally:
        os.close(readable)
        if writable >= 0:
            os.close(writable)
    keeper.script(_MASQUERADE)


def is_possible() -> bool:
    """Whether this machine has a default route."""
    return bool(command.run(["ip", "-4", "route", "show", "default"]).stdout.strip())
