"""Placement constraints: ``node.labels.zone == a``, ``node.ip != 10.0.0.0/8``. Parsed by the API, which refuses what
is none, and by the scheduler.

Grammar, keys and words are those of swarmkit's ``manager/constraint``.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from swarmd.errors import ClusterError
from swarmd.model import Node, NodeLiveness, Placement, Service, Task, TaskSpec

_KEY = re.compile(r"[a-z_][a-z0-9\-_.]+", re.IGNORECASE | re.ASCII)
_VALUE = re.compile(r"[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+", re.IGNORECASE | re.ASCII)
_NODE_LABELS = "node.labels."
_ENGINE_LABELS = "engine.labels."


class Operator(enum.StrEnum):
    IS = "=="
    IS_NOT = "!="


@dataclass(frozen=True)
class Constraint:
    key: str
    operator: Operator
    value: str

    def holds(self, node: Node, liveness: NodeLiveness) -> bool:
        """Keys and values are compared without case, labels' names with it; an unknown key holds nowhere."""
        if self.key.lower() == "node.ip":
            return self._holds_for_address(liveness.address)
        actual = self._actual(node, liveness)
        return actual is not None and self._agrees(actual.casefold() == self.value.casefold())

    def _agrees(self, equal: bool) -> bool:
        return equal == (self.operator is Operator.IS)

    def _actual(self, node: Node, liveness: NodeLiveness) -> str | None:
        if names_label(self.key):
            return label_of(self.key, node, liveness)
        description = liveness.description
        return {
            "node.id": node.id,
            "node.hostname": description.hostname,
            "node.role": node.role.value,
            "node.platform.os": description.platform.os,
            "node.platform.arch": description.platform.architecture,
        }.get(self.key.lower())

    def _holds_for_address(self, address: str) -> bool:
        try:
            wanted = ipaddress.ip_network(self.value, strict=False)
        except ValueError:
            return False
        try:
            return self._agrees(ipaddress.ip_address(address) in wanted)
        except ValueError:
            return self._agrees(False)


def names_label(key: str) -> bool:
    """Whether it is a label of nodes or of their engines: ``node.labels.zone``."""
    return any(len(key) > len(prefix) and key.lower().startswith(prefix) for prefix in (_NODE_LABELS, _ENGINE_LABELS))


def label_of(key: str, node: Node, liveness: NodeLiveness) -> str:
    """A node's value of the label that the key names; empty where it has none."""
    if key.lower().startswith(_NODE_LABELS):
        return node.spec.labels.get(key[len(_NODE_LABELS) :], "")
    return liveness.description.engine.labels.get(key[len(_ENGINE_LABELS) :], "")


def parse(text: str) -> Constraint:
    """
    :raises swarmd.errors.ClusterError: it is no constraint; in Docker's words, with its status of 500.
    """
    for operator in Operator:
        key, found, value = text.partition(operator)
        if not found:
            continue
        key, value = key.strip(), value.strip()
        if not _KEY.fullmatch(key):
            raise ClusterError(f"key '{key}' is invalid")
        if not _VALUE.fullmatch(value):
            raise ClusterError(f"value '{value}' is invalid")
        return Constraint(key, operator, value)
    raise ClusterError(f"constraint expected one operator from {', '.join(Operator)}")


@lru_cache(maxsize=4096)
def _parsed(texts: tuple[str, ...]) -> tuple[Constraint, ...] | None:
    try:
        return tuple(parse(text) for text in texts)
    except ClusterError:
        return None


def hold(texts: Iterable[str], node: Node, liveness: NodeLiveness) -> bool:
    """Whether a node satisfies all; a stored constraint that cannot be read is satisfied nowhere."""
    constraints = _parsed(tuple(texts))
    return constraints is not None and all(constraint.holds(node, liveness) for constraint in constraints)


def is_placed_alike(one: TaskSpec, other: TaskSpec) -> bool:
    return one.placement == other.placement or (one.placement or Placement()) == (other.placement or Placement())


def is_out_of_date(task: Task, service: Service, meets: Callable[[Sequence[str], str], bool]) -> bool:
    """Whether the task is to be replaced by one of the service's present spec. Where nothing but the placement has
    changed, it stays on a node that meets the present constraints.

    :param meets: whether the constraints hold for the node with this id.
    """
    if task.spec_version != service.spec_version:
        return True
    template = service.spec.task_template
    if is_placed_alike(task.spec, template):
        return False
    return not (task.node_id and meets((template.placement or Placement()).constraints, task.node_id))
