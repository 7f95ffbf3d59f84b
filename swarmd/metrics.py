"""``/metrics``: what an outside watcher or scaler asks of a node, in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector

from swarmd.errors import SwarmError
from swarmd.membership import Membership
from swarmd.store import Snapshot

Handler = Callable[[web.Request], Awaitable[web.Response]]


def exposition(membership: Membership) -> Handler:
    """A handler; it answers from this node's own memory, with a quorum or without."""
    registry = CollectorRegistry()
    registry.register(_Cluster(membership))
    ProcessCollector(registry=registry)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return metrics


class _Cluster:
    def __init__(self, membership: Membership) -> None:
        self._membership = membership

    def collect(self) -> Iterable[Metric]:
        local = self._membership.local()
        yield GaugeMetricFamily("swarm_manager", "1 where this node is a manager.", value=float(local.is_manager))
        try:
            snapshot = self._membership.store().snapshot()
        except SwarmError:
            return
        yield GaugeMetricFamily("swarm_store_revision", "Revision that this manager has.", value=snapshot.revision)
        yield _by_state("swarm_nodes", "Nodes by state.", _nodes(snapshot))
        yield _by_state("swarm_tasks", "Tasks by observed state.", _tasks(snapshot))
        yield GaugeMetricFamily("swarm_services", "Services.", value=len(snapshot.services))


def _by_state(name: str, words: str, counts: Counter[str]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=["state"])
    for state, count in sorted(counts.items()):
        family.add_metric([state], count)
    return family


def _nodes(snapshot: Snapshot) -> Counter[str]:
    return Counter(
        snapshot.liveness[node_id].value.state.value if node_id in snapshot.liveness else "unknown"
        for node_id in snapshot.nodes
    )


def _tasks(snapshot: Snapshot) -> Counter[str]:
    return Counter(entry.value.status.state.word for entry in snapshot.tasks.values())
