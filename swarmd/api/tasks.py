"""``/tasks``: list and inspect."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from swarmd import constraints
from swarmd.api import answers, quorum, rendering
from swarmd.api.context import Route
from swarmd.api.filters import any_prefix, labels_match, one_of, parse_filters, words
from swarmd.api.lookup import find_node, find_service, find_task, task_name
from swarmd.model import Task, TaskState
from swarmd.store import Snapshot

_FILTERS = ("name", "id", "label", "service", "node", "desired-state", "_up-to-date", "runtime")


async def index(request: web.Request) -> web.Response:
    filters = parse_filters(request.query.get("filters"), _FILTERS)
    states = words(filters.get("desired-state"), [state.word for state in TaskState], "desired-state")
    snapshot = await quorum.read(request)
    services = [find_service(snapshot, wanted).value.id for wanted in filters.get("service", ())]
    nodes = [find_node(snapshot, wanted).value.id for wanted in filters.get("node", ())]
    chosen = [
        entry
        for entry in snapshot.tasks.values()
        if one_of(entry.value.service_id, services)
        and one_of(entry.value.node_id, nodes)
        and one_of(entry.value.desired_state.word, states)
        and any_prefix(entry.value.id, filters.get("id"))
        and any_prefix(task_name(entry.value), filters.get("name"))
        and labels_match(entry.value.service_labels, filters.get("label"))
        and one_of("container", [name or "container" for name in filters.get("runtime", ())])
        and (not filters.get("_up-to-date") or up_to_date(snapshot, entry.value))
    ]
    chosen.sort(key=lambda entry: entry.value.id)
    return answers.json([rendering.task(entry) for entry in chosen])


def up_to_date(snapshot: Snapshot, task: Task) -> bool:
    """Whether the task need not be replaced for its service's present spec."""

    def meets(wanted: Sequence[str], node_id: str) -> bool:
        node = snapshot.nodes.get(node_id)
        return node is not None and constraints.hold(wanted, node.value, snapshot.liveness_of(node_id))

    service = snapshot.services.get(task.service_id)
    return service is not None and not constraints.is_out_of_date(task, service.value, meets)


async def inspect(request: web.Request) -> web.Response:
    return answers.json(rendering.task(find_task(await quorum.read(request), request.match_info["id"])))


ROUTES: tuple[Route, ...] = (
    ("GET", "/tasks", index),
    ("GET", "/tasks/{id:[^/]+}", inspect),
)
