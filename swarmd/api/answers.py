"""Answers' bodies, and the parameters of a query, as Docker's routers make and read them."""

from __future__ import annotations

import msgspec
from aiohttp import web

from swarmd.errors import BadRequest

_NO = {"", "0", "no", "false", "none"}
_GO_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_GO_FALSE = {"0", "f", "F", "false", "FALSE", "False"}


def json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value) + b"\n", content_type="application/json")


def nothing() -> web.Response:
    """Docker answers 200 with an empty body to what has no result."""
    return web.Response()


def loose_flag(request: web.Request, name: str) -> bool:
    """True for any value but Docker's words for no (``httputils.BoolValue``)."""
    return request.query.get(name, "").strip().lower() not in _NO


def strict_flag(request: web.Request, name: str) -> bool:
    """
    :raises BadRequest: it is neither true nor false, in Go's spellings.
    """
    value = request.query.get(name, "")
    if value and value not in _GO_TRUE | _GO_FALSE:
        raise BadRequest(f"invalid value for {name}: {value}")
    return value in _GO_TRUE


def version(request: web.Request, kind: str) -> int:
    """The version that an update names.

    :param kind: of the object, for the refusal.
    :raises BadRequest: there is none, or it is no number.
    """
    text = request.query.get("version", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise BadRequest(f"invalid {kind} version '{text}': strconv.ParseUint: parsing \"{text}\": invalid syntax")
    return int(text)
