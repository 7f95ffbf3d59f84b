"""``GET /version`` and ``/_ping``: the engine's answers, with the API version that both speak and the swarm's state."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from swarmd.api import answers
from swarmd.api.context import ENGINE, MEMBERSHIP, Route
from swarmd.api.upstream import OURS, lower
from swarmd.errors import NodeUnavailable
from swarmd.membership import LocalNode, LocalState

PING_DEADLINE = 2.0
"""Seconds for the engine: the CLI pings before each command, and swarm's own commands need no engine."""


async def version(request: web.Request) -> web.Response:
    answer = await request.app[ENGINE].get("/version", version=request.match_info.get("version"))
    shown = answer.json(dict[str, Any])
    if answer.status != 200:
        return answers.json(shown, answer.status)
    _lower_version(shown)
    for component in shown.get("Components") or ():
        _lower_version(component.get("Details") or {})
    return answers.json(shown)


def _lower_version(part: dict[str, Any]) -> None:
    if part.get("ApiVersion"):
        part["ApiVersion"] = lower(OURS, part["ApiVersion"])


async def ping(request: web.Request) -> web.Response:
    """Also without an engine: the swarm's commands work then."""
    headers = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache"}
    engine = request.app[ENGINE]
    try:
        answer = await engine.get("/_ping", deadline=PING_DEADLINE)
    except NodeUnavailable:
        builder = None
    else:
        builder = answer.headers.get("Builder-Version")
    headers["Api-Version"] = engine.api_version
    headers["Swarm"] = swarm_header(request.app[MEMBERSHIP].local())
    if builder is not None:
        headers["Builder-Version"] = builder
    text = "" if request.method == "HEAD" else "OK"
    return web.Response(text=text, headers=headers)


def swarm_header(local: LocalNode) -> str:
    """The CLI hides or shows its verbs by it."""
    if local.state is not LocalState.ACTIVE:
        return local.state.value
    return "active/manager" if local.is_manager else "active/worker"


ROUTES: tuple[Route, ...] = (
    ("GET", "/version", version),
    ("GET", "/_ping", ping),
    ("HEAD", "/_ping", ping),
)
