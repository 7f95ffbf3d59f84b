"""``GET /containers/json``: whether a container is a task is a label's matter here.

The engine's own filter ``is-task`` looks at a flag that its API cannot set (moby/moby ``daemon/list.go``).
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from swarmd.api import answers
from swarmd.api.context import ENGINE, Route
from swarmd.api.filters import parse_filters
from swarmd.errors import BadRequest

TASK_LABEL = "com.docker.swarm.task"
_YES, _NO = {"1", "t", "true"}, {"0", "f", "false"}


async def index(request: web.Request) -> web.Response:
    query = dict(request.query)
    filters = parse_filters(query.get("filters"))
    wanted = _wanted(filters.pop("is-task", []))
    limit = query.pop("limit", None) if wanted is False else None
    if wanted:
        filters.setdefault("label", []).append(TASK_LABEL)
    if filters or "filters" in query:
        query["filters"] = json.dumps(filters)
    answer = await request.app[ENGINE].get("/containers/json", query, version=request.match_info.get("version"))
    if wanted is not False or answer.status != 200:
        return web.Response(status=answer.status, body=answer.body, content_type="application/json")
    return answers.json(_not_tasks(answer.json(list[dict[str, Any]]), limit))


def _wanted(values: list[str]) -> bool | None:
    """None: both."""
    for value in values:
        if value.lower() not in _YES | _NO:
            raise BadRequest(f"invalid filter 'is-task=[{value}]'")
    chosen = {value.lower() in _YES for value in values}
    return chosen.pop() if len(chosen) == 1 else None


def _not_tasks(containers: list[dict[str, Any]], limit: str | None) -> list[dict[str, Any]]:
    left = [container for container in containers if TASK_LABEL not in (container.get("Labels") or {})]
    most = int(limit) if limit is not None and limit.isdecimal() else 0
    return left[:most] if most else left


ROUTES: tuple[Route, ...] = (("GET", "/containers/json", index),)
