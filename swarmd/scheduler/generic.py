"""What nodes have beside CPU and memory: so many of a kind, or things by name. A task reserves a number of a kind; the
scheduler says which of the named ones it gets.

Source: swarmkit ``api/genericresource``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from swarmd.model import DiscreteGeneric, GenericResource, NamedGeneric, Task

_NEVER = 1 << 63
"""No node has so many: numbers of a kind are int64."""


@dataclass(slots=True)
class Stock:
    """Of one kind on one node."""

    free: int
    names: list[str] | None = None
    """Those that no task has, in the node's order; None: they have none."""


def stocks(resources: Iterable[GenericResource]) -> dict[str, Stock]:
    """By kind, before any task has taken of them. An engine does not start with a kind that is both."""
    found: dict[str, Stock] = {}
    for resource in resources:
        if named := resource.named_resource_spec:
            stock = found.setdefault(named.kind, Stock(0, []))
            if stock.names is not None:
                stock.names.append(named.value)
                stock.free += 1
        elif discrete := resource.discrete_resource_spec:
            found.setdefault(discrete.kind, Stock(discrete.value))
    return found


def wanted(task: Task) -> Mapping[str, int]:
    """By kind. Nobody can ask for one by its name: it counts as more than there is. Fewer than none are none."""
    resources = task.spec.resources
    if resources is None or resources.reservations is None:
        return {}
    asked: Counter[str] = Counter()
    for resource in resources.reservations.generic_resources:
        if named := resource.named_resource_spec:
            asked[named.kind] += _NEVER
        elif discrete := resource.discrete_resource_spec:
            asked[discrete.kind] += max(0, discrete.value)
    return asked


def suffice(have: Mapping[str, Stock], asked: Mapping[str, int]) -> bool:
    return all(kind in have and amount <= have[kind].free for kind, amount in asked.items())


def chosen(have: Mapping[str, Stock], asked: Mapping[str, int]) -> list[GenericResource]:
    """Which of the free ones a task gets; they must suffice."""
    got: list[GenericResource] = []
    for kind, amount in asked.items():
        names = have[kind].names
        if names is not None:
            got += [GenericResource(NamedGeneric(kind, name)) for name in names[:amount]]
        elif amount:
            got.append(GenericResource(discrete_resource_spec=DiscreteGeneric(kind, amount)))
    return got


def take(have: Mapping[str, Stock], assigned: Iterable[GenericResource]) -> None:
    """What a task has is free no more. The node may have been given others since: a name that is not there takes
    nothing, and numbers may fall below 0."""
    for resource in assigned:
        if (named := resource.named_resource_spec) and (stock := have.get(named.kind)):
            if stock.names is None:
                stock.free -= 1
            elif named.value in stock.names:
                stock.names.remove(named.value)
                stock.free -= 1
        elif (discrete := resource.discrete_resource_spec) and (stock := have.get(discrete.kind)):
            stock.free -= discrete.value
