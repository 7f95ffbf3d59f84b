"""One look at a swarm, as frozen values, and its quorum in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from provisioner.lab import majority

Membership = Literal["manager", "worker", "inactive", "silent", "stopped"]

# The start of what Docker answers when a manager has been without a leader for 10 s.
NO_LEADER = "The swarm does not have a leader"


@dataclass(frozen=True)
class Answer:
    """What one host says of itself."""

    host: str
    membership: Membership
    """manager or worker of an active swarm; inactive (no swarm); silent (Docker gave no answer); stopped."""
    error: str = ""
    """Why the host, or the swarm through it, gave no answer: in Docker's words where there are any."""


@dataclass(frozen=True)
class Node:
    """A member, as the managers describe it: the values are Docker's own."""

    id: str
    hostname: str
    role: str
    availability: str
    status: str
    """ready, down, unknown or disconnected."""
    leader: bool
    reachability: str
    """reachable, unreachable or unknown for a manager; empty for a worker."""
    address: str
    engine: str
    """The engine's version."""
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Task:
    """One task of a service, with the host that it was given to."""

    id: str
    service: str
    slot: int
    """0 for a task of a global service."""
    host: str
    state: str
    container: str
    """The container's id; empty until there is one."""

    @property
    def name(self) -> str:
        return f"{self.service}.{self.slot or self.host}"


@dataclass(frozen=True)
class Quorum:
    """Whether the managers can decide, and how many more may be lost. All names are host names."""

    managers: tuple[str, ...]
    reachable: tuple[str, ...]
    stopped: tuple[str, ...] = ()
    """Managers whose machine is off: starting them mends the quorum."""
    leader: str = ""

    @property
    def needed(self) -> int:
        return majority(len(self.managers))

    @property
    def kept(self) -> bool:
        return bool(self.leader) and len(self.reachable) >= self.needed

    def words(self, lab: str = "") -> str:
        """One sentence, with the command that mends a lost quorum.

        :param lab: the lab's name, for that command; empty for the default lab.
        """
        if not self.managers:
            return "no swarm: no host is a member of one"
        count = len(self.managers)
        seen = f"{count} {'manager' if count == 1 else 'managers'}, {len(self.reachable)} reachable"
        if self.kept:
            spare = len(self.reachable) - self.needed
            return f"{seen}: tolerates {spare or 'no'} more {'loss' if spare < 2 else 'losses'}"
        missing = self.needed - len(self.reachable)
        if missing <= 0:
            return f"{seen}: a majority, but no leader at this moment"
        until = "one more returns" if missing == 1 else f"{missing} more return"
        cure = self._cure(missing, f" --name {lab}" if lab else "")
        return f"{seen}: no quorum ({self.needed} needed); management stands still until {until}{cure}"

    def _cure(self, missing: int, name: str) -> str:
        if self.stopped:
            return f": provision start {' '.join(self.stopped[:missing])}{name}"
        silent = next((manager for manager in self.managers if manager not in self.reachable), "")
        return f": provision logs {silent} --unit docker{name} says why it is silent" if silent else ""


@dataclass(frozen=True)
class Swarm:
    """One look at the swarm."""

    answers: tuple[Answer, ...]
    """One per machine, in the order asked."""
    nodes: tuple[Node, ...]
    """By host name; empty when no manager could name them."""
    tasks: tuple[Task, ...]
    """Those that are meant to run."""
    quorum: Quorum

    @property
    def leader(self) -> Node | None:
        return next((node for node in self.nodes if node.leader), None)

    @property
    def error(self) -> str:
        """What the managers answered instead of naming the nodes; empty when one named them."""
        if self.nodes:
            return ""
        return next((answer.error for answer in self.answers if answer.membership == "manager"), "")

    def answer(self, host: str) -> Answer:
        """:raises KeyError: that host was not asked."""
        for answer in self.answers:
            if answer.host == host:
                return answer
        raise KeyError(host)

    def node(self, host: str) -> Node | None:
        """A host's entry; the ready one, where a host that joined anew left a Down one of its name behind."""
        entries = [node for node in self.nodes if node.hostname == host]
        return min(entries, key=lambda node: node.status != "ready", default=None)

    def running_on(self, host: str) -> tuple[Task, ...]:
        return tuple(task for task in self.tasks if task.host == host and task.state == "running")
