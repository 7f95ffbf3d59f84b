"""The hosts of a play as nodes of a swarm: how each shall be, and where they meet. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LEAVE = "docker swarm leave --force"

HostVars = Mapping[str, Mapping[str, Any]]


def swarm_wanted(hosts: Sequence[str], hostvars: HostVars, managers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How the inventory says that each host shall be, by the host's name; the words are those of swarm_nodes.

    :param managers: the hosts of the inventory's group `managers`.
    """
    return {host: _wanted(host, hostvars[host], managers) for host in hosts}


def swarm_meeting(hosts: Sequence[str], hostvars: HostVars, managers: Sequence[str]) -> dict[str, str]:
    """Choose the manager to work through.

    :param hosts: the play's hosts that have not failed, each with swarm_info's answer as ``topology_member``.
    :param managers: the inventory's managers, in its order.
    :returns: ``manager``, the host that does what one manager does for all: one that is a manager with a quorum,
        else the first that shall be a manager, where no host is in a swarm; ``problem``, why there is none, or "".
    """
    members = {host: hostvars[host]["topology_member"] for host in hosts}
    joined = {host: member for host, member in members.items() if member["state"] != "inactive"}
    quorate = [host for host in hosts if members[host]["quorum"]]
    preferred = [host for host in managers if host in members]
    if quorate:
        # A manager that stays one: the others are demoted through it.
        chosen = next((host for host in preferred if host in quorate), quorate[0])
        return {"manager": chosen, "problem": _two_swarms({host: members[host]["cluster_id"] for host in quorate})}
    if not preferred:
        return {"manager": "", "problem": "no host of the group `managers` is left to form a swarm with"}
    return {"manager": preferred[0], "problem": _no_quorum(joined, preferred) if joined else ""}


def _wanted(host: str, variables: Mapping[str, Any], managers: Sequence[str]) -> dict[str, Any]:
    return {
        "name": host,
        "address": variables.get("swarm_advertise_addr") or variables.get("ansible_host") or host,
        "role": "manager" if host in managers else "worker",
        "availability": variables.get("swarm_availability") or "",
        "labels": dict(variables.get("swarm_labels") or {}),
    } | _node(variables.get("topology_node") or {})


def _node(joined: Mapping[str, Any]) -> dict[str, str]:
    """What swarm_join told, once it has run."""
    return {"node_id": joined.get("node_id", ""), "hostname": joined.get("hostname", "")}


def _two_swarms(clusters: Mapping[str, str]) -> str:
    by_cluster: dict[str, list[str]] = defaultdict(list)
    for host, cluster in clusters.items():
        by_cluster[cluster].append(host)
    if len(by_cluster) < 2:
        return ""
    parts = "; ".join(f"{', '.join(hosts)} in {cluster}" for cluster, hosts in sorted(by_cluster.items()))
    return (
        f"the managers are in {len(by_cluster)} different swarms: {parts}. Choose the one to keep, and on each host "
        f"of the others run `{LEAVE}` (what only those swarms know is lost), then run this again"
    )


def _no_quorum(joined: HostVars, expected: Sequence[str]) -> str:
    locked = sorted(host for host, member in joined.items() if member["state"] == "locked")
    if locked:
        return f"the swarm is locked on {', '.join(locked)}: unlock it there with `docker swarm unlock`"
    # A manager that waits for the others does not say yet that it is one.
    managers = sorted(host for host, member in joined.items() if member["manager"] or host in expected)
    if not managers:
        return (
            f"{', '.join(sorted(joined))} are in a swarm, but none of its managers is among these hosts. Bring a "
            f"manager back, or let them join anew: run `{LEAVE}` on each, then run this again"
        )
    why = next((joined[host]["error"] for host in managers if joined[host]["error"]), "no leader")
    return (
        f"the swarm of {', '.join(managers)} has no quorum ({why}). Start the missing managers; if a majority is gone "
        "for good, run `docker swarm init --force-new-cluster --advertise-addr ADDRESS` on one that is left"
    )


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"swarm_meeting": swarm_meeting, "swarm_wanted": swarm_wanted}
