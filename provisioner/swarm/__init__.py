"""The swarm as its hosts describe it: members, leader, quorum, what runs where.

Everything goes through Docker's API, so it is the same for every engine that speaks it. Nothing here changes a swarm.
"""

from provisioner.swarm.comparison import matches, unrest
from provisioner.swarm.connection import connect, reason
from provisioner.swarm.model import NO_LEADER, Answer, Node, Quorum, Swarm, Task
from provisioner.swarm.reading import TIMEOUT, read

__all__ = [
    "NO_LEADER",
    "TIMEOUT",
    "Answer",
    "Node",
    "Quorum",
    "Swarm",
    "Task",
    "connect",
    "matches",
    "read",
    "reason",
    "unrest",
]
