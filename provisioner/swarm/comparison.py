"""Is the swarm what the lab's spec asks for, and has it come to rest? Pure."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.lab import HostSpec, LabSpec
from provisioner.swarm.model import Node, Swarm


def matches(spec: LabSpec, swarm: Swarm) -> list[str]:
    """What differs from the spec, one sentence each; an empty list when all is as asked."""
    return list(_differences(spec, swarm))


def unrest(swarm: Swarm) -> list[str]:
    """What is still on its way after hosts were started, one sentence each, whatever users have made of the swarm."""
    return list(_unrest(swarm))


def _unrest(swarm: Swarm) -> Iterator[str]:
    for answer in swarm.answers:
        if answer.membership == "silent":
            yield f"{answer.host}: Docker does not answer ({answer.error})"
        elif answer.membership == "inactive" and answer.error:
            yield f"{answer.host}: is in no swarm ({answer.error})"
    quorum = swarm.quorum
    if not quorum.leader and len(quorum.managers) - len(quorum.stopped) >= quorum.needed > 0:
        yield quorum.words()
    for answer in swarm.answers:
        node = swarm.node(answer.host)
        if node is None or answer.membership not in ("manager", "worker"):
            continue
        if node.status != "ready":
            yield _status(node)
        if answer.membership == "manager" and node.reachability != "reachable":
            yield _reachability(node)


def _differences(spec: LabSpec, swarm: Swarm) -> Iterator[str]:
    for answer in swarm.answers:
        if answer.membership == "stopped":
            yield f"{answer.host}: {answer.error or 'the machine is stopped'}"
        elif answer.membership == "silent":
            yield f"{answer.host}: Docker does not answer ({answer.error})"
        elif answer.membership == "inactive":
            yield f"{answer.host}: is in no swarm" + (f" ({answer.error})" if answer.error else "")
    asked = {answer.host for answer in swarm.answers}
    for host in spec.hosts:
        if host.name not in asked:
            yield f"{host.name}: there is no such machine"
    if not swarm.nodes:
        yield swarm.quorum.words() + (f" ({swarm.error})" if swarm.error else "")
        return
    if not swarm.quorum.leader:
        yield swarm.quorum.words()
    for host in spec.hosts:
        yield from _of_host(host, swarm)
    for node in swarm.nodes:
        yield from _extra(spec, swarm, node)


def _of_host(host: HostSpec, swarm: Swarm) -> Iterator[str]:
    node = swarm.node(host.name)
    if node is None:
        membership = next((answer.membership for answer in swarm.answers if answer.host == host.name), "stopped")
        if membership in ("manager", "worker"):
            yield f"{host.name}: is in a swarm, but not in this one"
        elif membership != "inactive":  # its own answer says so already
            yield f"{host.name}: is not in the swarm"
        return
    if node.status != "ready":
        yield _status(node)
    if node.role != host.role:
        yield f"{host.name}: is a {node.role}, a {host.role} was asked for"
    elif host.role == "manager" and node.reachability != "reachable":
        yield _reachability(node)
    if node.availability != host.availability:
        yield f"{host.name}: its availability is {node.availability}, {host.availability} was asked for"
    for key in sorted(node.labels.keys() | host.labels.keys()):
        found, wanted = node.labels.get(key), host.labels.get(key)
        if found != wanted:
            yield f"{host.name}: its label {key} is {_value(found)}, {_value(wanted)} was asked for"


def _status(node: Node) -> str:
    return f"{node.hostname}: the swarm says {node.status.capitalize()}"


def _reachability(node: Node) -> str:
    return f"{node.hostname}: the other managers say {node.reachability.capitalize() or 'nothing of it'}"


def _extra(spec: LabSpec, swarm: Swarm, node: Node) -> Iterator[str]:
    known = any(host.name == node.hostname for host in spec.hosts)
    if known and swarm.node(node.hostname) is node:
        return
    what = "a second entry for" if known else "a node that is not of this lab:"
    yield f"the swarm has {what} {node.hostname} ({node.id[:12]}, {node.status}); docker node rm takes it away"


def _value(value: str | None) -> str:
    return "absent" if value is None else repr(value)
