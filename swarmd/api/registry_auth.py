"""A registry's credentials that come with a service, in the header ``X-Registry-Auth``: sealed, kept, never shown.

As moby/moby ``daemon/cluster/services.go`` does it: what cannot be read is no ground to refuse a service, and an update
without credentials keeps those that the spec had.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from aiohttp import web

from swarmd.api.context import MEMBERSHIP
from swarmd.errors import DaemonError
from swarmd.model import Service

log = structlog.get_logger()

HEADER = "X-Registry-Auth"


class Unreadable(Exception):
    """Why, in words that hold nothing of the credentials."""


@dataclass(frozen=True)
class Kept:
    """What a service has of them from now on."""

    sealed: str
    """Empty: none."""
    warnings: list[str] | None = None
    """For the answer."""


def of_created(request: web.Request) -> Kept:
    return _given(request) or Kept("")


def of_updated(request: web.Request, service: Service) -> Kept:
    """
    :raises DaemonError: they are to be the previous spec's and there is none, or another's that Docker does not know.
    """
    if (given := _given(request)) is not None:
        return given
    match request.query.get("registryAuthFrom", ""):
        case "" | "spec":
            return Kept(service.registry_auth)
        case "previous-spec":
            if service.previous_spec is None:
                raise DaemonError("service does not have a previous spec")
            return Kept(service.previous_registry_auth)
        case _:
            raise DaemonError("unsupported registryAuthFrom value")


def _given(request: web.Request) -> Kept | None:
    """None: the header was not sent, or is empty. A client that is not logged in sends an empty object, which takes
    away what there was, as on Docker."""
    header = request.headers.get(HEADER, "").strip()
    if not header:
        return None
    try:
        credentials = read(header)
    except Unreadable as error:
        # Docker stores it and the engine ignores it at each pull: as if there were none.
        log.warning("invalid authconfig", why=str(error))
        return Kept("", [f"invalid authconfig: {error}"])
    if not any(credentials.values()):
        return Kept("")
    return Kept(request.app[MEMBERSHIP].seal(header.encode()))


def read(header: str) -> Mapping[str, object]:
    """The AuthConfig in it: an object in base 64. Both alphabets are taken, with padding and without: the header goes
    to the engine as it came, and the engine decides.

    :raises Unreadable:
    """
    try:
        text = header.translate(_TO_STANDARD).rstrip("=")
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable("illegal base64 data") from None
    try:
        # Go's decoder reads one document and does not look at what follows.
        found, _ = json.JSONDecoder().raw_decode(decoded.decode(errors="replace").lstrip())
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON") from None
    if not isinstance(found, dict):
        raise Unreadable("it is not a JSON object")
    return found


_TO_STANDARD = str.maketrans("-_", "+/")
