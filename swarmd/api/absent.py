"""Secrets: an empty list, so that clients which look first go on; all else says that it is to come."""

from __future__ import annotations

from aiohttp import web

from swarmd.api import answers, quorum
from swarmd.api.context import Handler, Route
from swarmd.api.decoding import not_implemented
from swarmd.api.filters import parse_filters

_FILTERS = ("id", "label", "name", "names")


def _routes(kind: str) -> tuple[Route, ...]:
    async def index(request: web.Request) -> web.Response:
        parse_filters(request.query.get("filters"), _FILTERS)
        await quorum.read(request)
        return answers.json([])

    async def refuse(_: web.Request) -> web.Response:
        raise not_implemented(f"docker {kind}")

    paths: tuple[tuple[str, str, Handler], ...] = (
        ("GET", f"/{kind}s", index),
        ("POST", f"/{kind}s/create", refuse),
        ("GET", f"/{kind}s/{{id:[^/]+}}", refuse),
        ("DELETE", f"/{kind}s/{{id:[^/]+}}", refuse),
        ("POST", f"/{kind}s/{{id:[^/]+}}/update", refuse),
    )
    return paths


ROUTES: tuple[Route, ...] = _routes("secret")
