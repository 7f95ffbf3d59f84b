"""What keeps a task from a node. Each filter both checks and explains; the words and their order are swarmkit's
(``manager/scheduler/filter.go``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from swarmd import constraints
from swarmd.model import Availability, NodeState, Placement, Platform, Task
from swarmd.scheduler import generic
from swarmd.scheduler.plugins import has_plugins, needed_plugins
from swarmd.scheduler.ports import host_ports
from swarmd.scheduler.seats import Seat, reserved

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""As engines say it: as images say it."""


@dataclass(frozen=True)
class Filter:
    allows: Callable[[Seat], bool]
    explain: Callable[[int], str]
    """Why so many nodes, one at least, were refused."""
    is_about_tasks: bool = False
    """Whether the answer may change by tasks that the node is given."""


def filters_of(task: Task) -> list[Filter]:
    """Those that apply to the task, in the order in which a node is judged."""
    placement = task.spec.placement or Placement()
    filters = [Filter(_is_ready, _on("{} not available for new tasks"))]
    cpus, memory = reserved(task)
    kinds = generic.wanted(task)
    if cpus or memory or kinds:
        filters.append(
            Filter(
                lambda seat: (
                    cpus <= seat.free_cpus and memory <= seat.free_memory and generic.suffice(seat.stocks, kinds)
                ),
                _on("insufficient resources on {}"),
                is_about_tasks=True,
            )
        )
    drivers = needed_plugins(task)
    if drivers:
        filters.append(Filter(lambda seat: has_plugins(seat.plugins, drivers), _on("missing plugin on {}")))
    if placement.constraints:
        wanted = tuple(placement.constraints)
        filters.append(
            Filter(
                lambda seat: constraints.hold(wanted, seat.node, seat.liveness),
                _on("scheduling constraints not satisfied on {}"),
            )
        )
    if placement.platforms:
        platforms = placement.platforms
        filters.append(Filter(lambda seat: _runs_any(platforms, seat), _on("unsupported platform on {}")))
    ports = host_ports(task)
    if ports:
        filters.append(
            Filter(
                lambda seat: ports.isdisjoint(seat.ports),
                _on("host-mode port already in use on {}"),
                is_about_tasks=True,
            )
        )
    if placement.max_replicas:
        most, service_id = placement.max_replicas, task.service_id
        filters.append(
            Filter(
                lambda seat: seat.by_service[service_id] < most,
                lambda _: "max replicas per node limit exceed",
                is_about_tasks=True,
            )
        )
    return filters


def allows(filters: Sequence[Filter], seat: Seat) -> bool:
    return all(each.allows(seat) for each in filters)


def explain(filters: Sequence[Filter], seats: Iterable[Seat]) -> str:
    """Why no node was found."""
    parts = reasons(filters, seats)
    return f"no suitable node ({parts})" if parts else "no suitable node"


def reasons(filters: Sequence[Filter], seats: Iterable[Seat]) -> str:
    """Each node counts for the first filter that refuses it, the most frequent first."""
    refusals: Counter[int] = Counter()
    for seat in seats:
        for number, each in enumerate(filters):
            if not each.allows(seat):
                refusals[number] += 1
                break
    ordered = sorted(refusals.items(), key=lambda refusal: (-refusal[1], refusal[0]))
    return "; ".join(filters[number].explain(nodes) for number, nodes in ordered)


def _on(sentence: str) -> Callable[[int], str]:
    return lambda nodes: sentence.format("1 node" if nodes == 1 else f"{nodes} nodes")


def _is_ready(seat: Seat) -> bool:
    return seat.liveness.state is NodeState.READY and seat.node.spec.availability is Availability.ACTIVE


def _runs_any(platforms: Sequence[Platform], seat: Seat) -> bool:
    node = seat.liveness.description.platform
    return any(
        (not platform.architecture or _architecture(platform) == _architecture(node))
        and (not platform.os or platform.os.lower() == node.os.lower())
        for platform in platforms
    )


def _architecture(platform: Platform) -> str:
    said = platform.architecture.lower()
    return _ARCHITECTURES.get(said, said)
