"""``/configs``: create, list, inspect, label and remove. Services cannot use them yet."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from swarmd.api import answers, quorum, reading, rendering
from swarmd.api.context import Route
from swarmd.api.filters import any_prefix, labels_match, one_of, parse_filters
from swarmd.api.lookup import find_config
from swarmd.errors import AlreadyExists, InvalidArgument, OutOfSequence
from swarmd.model import Config, new_id
from swarmd.store import Delete, Kind, Put, Unchanged

_FILTERS = ("id", "label", "name", "names")
_NAME = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?", re.ASCII)
LONGEST_NAME = 64
LARGEST = 1000 * 1024
"""Bytes, exclusive. swarmkit's MaxConfigSize."""


async def index(request: web.Request) -> web.Response:
    filters = parse_filters(request.query.get("filters"), _FILTERS)
    snapshot = await quorum.read(request)
    chosen = [
        entry
        for entry in snapshot.configs.values()
        if any_prefix(entry.value.id, filters.get("id"))
        and any_prefix(entry.value.spec.name, filters.get("name"))
        and one_of(entry.value.spec.name, filters.get("names"))
        and labels_match(entry.value.spec.labels, filters.get("label"))
    ]
    chosen.sort(key=lambda entry: entry.value.id)
    return answers.json([rendering.config(entry) for entry in chosen])


async def create(request: web.Request) -> web.Response:
    spec = await reading.config_spec(request)
    _check_name(spec.name)
    if not 0 < _size(spec.data) < LARGEST:
        raise InvalidArgument(f"config data must be larger than 0 and less than {LARGEST} bytes")
    taken = AlreadyExists(f"config {spec.name} already exists")
    snapshot = await quorum.read(request)
    if any(entry.value.spec.name == spec.name for entry in snapshot.configs.values()):
        raise taken
    now = datetime.now(UTC)
    config = Config(new_id(), spec, now, now)
    try:
        await quorum.write(request, [Put(Kind.CONFIG, config.id, config)], Unchanged(Kind.CONFIG, config.id, 0))
    except AlreadyExists:
        raise taken from None
    return answers.json({"ID": config.id}, 201)


async def inspect(request: web.Request) -> web.Response:
    return answers.json(rendering.config(find_config(await quorum.read(request), request.match_info["id"])))


async def update(request: web.Request) -> web.Response:
    spec = await reading.config_spec(request)
    version = answers.version(request, "config")
    entry = find_config(await quorum.read(request), request.match_info["id"])
    config = entry.value
    if spec.name != config.spec.name or (spec.data and spec.data != config.spec.data):
        raise InvalidArgument("only updates to Labels are allowed")
    if version != entry.version:
        raise OutOfSequence
    labelled = msgspec.structs.replace(config.spec, labels=spec.labels)
    changed = msgspec.structs.replace(config, spec=labelled, updated_at=datetime.now(UTC))
    await quorum.write(request, [Put(Kind.CONFIG, config.id, changed)], Unchanged(Kind.CONFIG, config.id, version))
    return answers.nothing()


async def remove(request: web.Request) -> web.Response:
    entry = find_config(await quorum.read(request), request.match_info["id"])
    await quorum.write(request, [Delete(Kind.CONFIG, entry.value.id)])
    return web.Response(status=204)


def _check_name(name: str) -> None:
    if len(name) > LONGEST_NAME or _NAME.fullmatch(name) is None:
        raise InvalidArgument(
            f"invalid name, only {LONGEST_NAME} [a-zA-Z0-9-_.] characters allowed, "
            "and the start and end character must be [a-zA-Z0-9]"
        )


def _size(data: str) -> int:
    try:
        return len(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(f"config data is not base 64: {error}") from None


ROUTES: tuple[Route, ...] = (
    ("GET", "/configs", index),
    ("POST", "/configs/create", create),
    ("GET", "/configs/{id:[^/]+}", inspect),
    ("POST", "/configs/{id:[^/]+}/update", update),
    ("DELETE", "/configs/{id:[^/]+}", remove),
)
