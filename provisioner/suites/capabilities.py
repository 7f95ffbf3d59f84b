"""What a kernel and an engine must offer for some claims, and how a host is asked for it."""

from __future__ import annotations

from collections.abc import Mapping

from testinfra.host import Host

from provisioner.suites.connection import everywhere

# Each exits with 0 where the capability is there. Docker loads modules when it needs them, so a probe may as well.
PROBES = {
    "ip_vs": "test -e /proc/net/ip_vs || { modprobe -q ip_vs && test -e /proc/net/ip_vs; }",
    "netem": "modprobe -q sch_netem || grep -q '^sch_netem ' /proc/modules",
}


OVERLAY_NETWORKS = "overlay networks"
ROUTING_MESH = "routing mesh"
SERVICE_LOGS = "service logs"
NOT_YET = {"swarmd": frozenset({OVERLAY_NETWORKS, ROUTING_MESH})}
"""What an engine of our own is still to learn."""


def not_yet(engine: str, capability: str) -> str:
    """Why a claim about this engine cannot be examined; empty where it can."""
    return f"{engine} has no {capability} yet" if capability in NOT_YET.get(engine, ()) else ""


def lacking(capability: str, hosts: Mapping[str, Host]) -> str:
    """The reason for which a claim that needs it cannot be examined: "no ip_vs"; empty where every host has it."""
    if capability not in PROBES:
        return ""
    there = everywhere(hosts, lambda host: bool(host.run(PROBES[capability]).rc == 0))
    without = [name for name, has in there.items() if not has]
    if not without:
        return ""
    return f"no {capability}" if len(without) == len(there) else f"no {capability} on {', '.join(without)}"
