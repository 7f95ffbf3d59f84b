"""What is looked for in a swarm while hosts are down: each gives a look that says whether it is there, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from provisioner.chaos.bystanders import SERVICE
from provisioner.chaos.history import History
from provisioner.chaos.outcome import Refusal
from provisioner.chaos.verdict import first_accepted
from provisioner.chaos.watching import Sighting
from provisioner.swarm import NO_LEADER, Node, Swarm

Look = Callable[[Swarm], Sighting]


def leader(lost: Sequence[str]) -> Look:
    """A leader that is not among the lost hosts."""

    def look(swarm: Swarm) -> Sighting:
        node = swarm.leader
        if node is None:
            return Sighting(False, swarm.error or "no manager answers")
        if node.hostname in lost:
            return Sighting(False, f"{node.hostname} is still called the leader")
        return Sighting(True, f"{node.hostname} leads")

    return look


def write_accepted(history: History, since: float) -> Look:
    """The first acknowledgement of a write that was begun after a moment of the run's clock."""

    def look(_: Swarm) -> Sighting:
        operations = history.operations()
        at = first_accepted(operations, since)
        if at is not None:
            return Sighting(True, "a writer's label is in the cluster's state", at)
        # By writer: one on a host that is off hears only that, and hears it most often.
        errors = {each.process: each.error for each in operations if each.error and each.seconds > since}
        words = "; ".join(f"{writer} hears: {error}" for writer, error in sorted(errors.items()))
        return Sighting(False, words or "no answer to any write")

    return look


def noticed(lost: Sequence[str]) -> Look:
    """All lost hosts shown as Down or, for managers, Unreachable."""

    def look(swarm: Swarm) -> Sighting:
        if not swarm.nodes:
            return Sighting(False, swarm.error or "no manager answers")
        nodes = [node for node in swarm.nodes if node.hostname in lost]
        words = ", ".join(f"{node.hostname} {_condition(node)}" for node in nodes)
        return Sighting(all(_is_lost(node) for node in nodes), words)

    return look


def refused(ask: Callable[[], Sequence[Refusal]]) -> Look:
    """Every manager that is asked answers that there is no leader.

    :param ask: gives their answers to the question for the nodes.
    """

    def look(_: Swarm) -> Sighting:
        said: dict[str, list[str]] = {}
        for answer in ask():
            said.setdefault(answer.words or "names the nodes", []).append(answer.host)
        words = "; ".join(f"{', '.join(hosts)}: {what}" for what, hosts in said.items())
        return Sighting(all(what.startswith(NO_LEADER) for what in said), words)

    return look


def tasks_running(replicas: int, lost: Sequence[str]) -> Look:
    """As many tasks of the bystanders as asked for, none of them on a lost host."""

    def look(swarm: Swarm) -> Sighting:
        if not swarm.nodes:
            return Sighting(False, swarm.error or "no manager answers")
        running = [task for task in swarm.tasks if task.service == SERVICE and task.state == "running"]
        here = [task for task in running if task.host not in lost]
        return Sighting(len(here) >= replicas, f"{len(here)} of {replicas} tasks run on living hosts")

    return look


def agreement(ask: Callable[[], Mapping[str, str]]) -> Look:
    """All managers call the same one the leader.

    :param ask: gives each manager's word, by host.
    """

    def look(_: Swarm) -> Sighting:
        said = ask()
        words = "; ".join(f"{host} says {leader}" for host, leader in said.items())
        return Sighting(len(set(said.values())) == 1 and set(said.values()) <= said.keys(), words)

    return look


def ready(ids: Mapping[str, str]) -> Look:
    """These hosts are Ready under the node ids that they had: nobody had to join again."""

    def look(swarm: Swarm) -> Sighting:
        states = {node.id: node.status for node in swarm.nodes}
        words = ", ".join(f"{host} {states.get(identity, 'gone').capitalize()}" for host, identity in ids.items())
        return Sighting(bool(swarm.nodes) and all(states.get(identity) == "ready" for identity in ids.values()), words)

    return look


def _is_lost(node: Node) -> bool:
    return node.status == "down" or node.reachability == "unreachable"


def _condition(node: Node) -> str:
    return node.status.capitalize() + (f"/{node.reachability.capitalize()}" if node.reachability else "")
