"""Requests' bodies: read, and made into the model's specs and the membership's requests."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from aiohttp import web

from swarmd.api import go, not_yet
from swarmd.api.decoding import Decoder, not_implemented, parse
from swarmd.api.sent import NodeSpecSent
from swarmd.errors import BadRequest
from swarmd.model import (
    Availability,
    CAConfig,
    ConfigSpec,
    DispatcherConfig,
    EncryptionConfig,
    EndpointSpec,
    NodeSpec,
    RaftConfig,
    ServiceSpec,
    SwarmSpec,
    UpdateConfig,
)

LARGEST_BODY = 4 << 20
"""Bytes; swarmkit's limit of a message between daemon and manager."""
LONGEST_FIELD = 64 << 10
"""Bytes of one field of a request's head, and of its first line; a registry's token alone may have ten thousand."""
BODY_DEADLINE = 30.0
"""Seconds that a client has for its whole body."""

S = TypeVar("S", bound=msgspec.Struct)


_decoder = Decoder(
    not_yet=not_yet.NOT_YET,
    present=not_yet.PRESENT,
    words=not_yet.WORDS,
    whole=go.WHOLE_NUMBERS,
    zeros=go.ZEROS,
    names=go.NAMES,
)


async def body(request: web.Request) -> object:
    """The request's JSON; None where there is no body.

    :raises BadRequest: it is malformed, not declared as JSON, or did not arrive in time.
    :raises aiohttp.web.HTTPRequestEntityTooLarge: it is larger than LARGEST_BODY.
    """
    if not request.can_read_body:
        return None
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            data = await request.read()
    except TimeoutError:
        raise BadRequest(f"the request's body did not arrive within {BODY_DEADLINE:.0f} s") from None
    except web.RequestPayloadError as error:
        raise BadRequest(f"the request's body cannot be read: {error}") from None
    if not data:
        return None
    if request.headers.get("Content-Type") is None or request.content_type != "application/json":
        sent = request.headers.get("Content-Type", "")
        raise BadRequest(f"unsupported Content-Type header ({sent}): must be 'application/json'")
    if not data.strip():
        raise BadRequest("invalid JSON: got EOF while reading request body")
    return parse(data)


async def struct(request: web.Request, kind: type[S]) -> S:
    """The request's body as one of the structs above, or as a spec of the model."""
    return _decoder.struct(kind, await body(request))


async def service_spec(request: web.Request) -> ServiceSpec:
    """
    :raises BadRequest: malformed, or a value that Docker refuses before it asks the cluster.
    :raises NotImplementedYet: it asks for something that is not there yet.
    """
    return to_service_spec(await body(request))


def to_service_spec(sent: object, decoder: Decoder = _decoder) -> ServiceSpec:
    """As service_spec, from JSON that was parsed."""
    spec = decoder.struct(ServiceSpec, sent)
    container = _inner(sent, "TaskTemplate", "ContainerSpec")
    if container is None:
        raise BadRequest("mismatched Runtime and *Spec fields")
    isolation = _inner(container, "Isolation")
    if isolation not in (None, "", "default"):  # a tuple: it may be of any type
        raise not_implemented("TaskTemplate.ContainerSpec.Isolation")
    if spec.task_template.runtime not in {"", "container"}:
        raise _runtime(spec.task_template.runtime)
    if spec.is_global and spec.mode.replicated is not None:
        raise BadRequest("must specify only one service mode")
    return msgspec.structs.replace(
        spec,
        update_config=_update_config(spec.update_config),
        rollback_config=_update_config(spec.rollback_config),
        endpoint_spec=_endpoint(spec.endpoint_spec),
        task_template=msgspec.structs.replace(spec.task_template, runtime="container"),
    )


async def config_spec(request: web.Request) -> ConfigSpec:
    """
    :raises NotImplementedYet: it asks for templating.
    """
    return await struct(request, ConfigSpec)


async def node_spec(request: web.Request) -> NodeSpec:
    """
    :raises BadRequest: malformed, or role or availability are missing or unknown.
    """
    sent = await struct(request, NodeSpecSent)
    if sent.role.lower() not in {"worker", "manager"}:
        raise BadRequest(f'invalid Role: "{sent.role}"')
    return NodeSpec(
        name=sent.name, labels=sent.labels, role=sent.role.lower(), availability=availability(sent.availability)
    )


def availability(word: str) -> Availability:
    """
    :raises BadRequest: Docker has no such word.
    """
    try:
        return Availability(word.lower())
    except ValueError:
        raise BadRequest(f'invalid Availability: "{word}"') from None


def complete_swarm_spec(spec: SwarmSpec) -> SwarmSpec:
    """The spec with Docker's defaults in place of zeros, as ``init`` and ``update`` take it.

    The two limits that may be zero are those which Docker's API has as pointers: history and old snapshots.

    :raises BadRequest: its name is not "default".
    :raises NotImplementedYet: it asks for autolock.
    """
    if spec.name not in {"", "default"}:
        raise BadRequest('swarm spec must be named "default"')
    if spec.encryption_config != EncryptionConfig():
        raise not_implemented("EncryptionConfig.AutoLockManagers")
    raft, usual = spec.raft, RaftConfig()
    return msgspec.structs.replace(
        spec,
        name="default",
        raft=RaftConfig(
            snapshot_interval=raft.snapshot_interval or usual.snapshot_interval,
            keep_old_snapshots=raft.keep_old_snapshots,
            log_entries_for_slow_followers=raft.log_entries_for_slow_followers or usual.log_entries_for_slow_followers,
            election_tick=raft.election_tick or usual.election_tick,
            heartbeat_tick=raft.heartbeat_tick or usual.heartbeat_tick,
        ),
        dispatcher=DispatcherConfig(spec.dispatcher.heartbeat_period or DispatcherConfig().heartbeat_period),
        ca_config=CAConfig(spec.ca_config.node_cert_expiry or CAConfig().node_cert_expiry),
    )


def _inner(value: object, *keys: str) -> object:
    for wanted in keys:
        if not isinstance(value, dict):
            return None
        value = next((inner for key, inner in reversed(value.items()) if key.lower() == wanted.lower()), None)
    return value


def _runtime(runtime: str) -> Exception:
    if runtime in {"plugin", "attachment"}:
        return not_implemented(f"TaskTemplate.Runtime {runtime}")
    return BadRequest("unsupported runtime")


def _update_config(config: UpdateConfig | None) -> UpdateConfig | None:
    if config is None:
        return None
    if config.failure_action not in {"", "pause", "continue", "rollback"}:
        raise BadRequest(f"unrecognized update failure action {config.failure_action}")
    if config.order not in {"", "stop-first", "start-first"}:
        raise BadRequest(f"unrecognized update order {config.order}")
    return msgspec.structs.replace(
        config,
        failure_action=config.failure_action or "pause",
        order=config.order or "stop-first",
        monitor=config.monitor or UpdateConfig().monitor,
    )


def _endpoint(endpoint: EndpointSpec | None) -> EndpointSpec | None:
    if endpoint is None:
        return None
    if endpoint.mode not in {"", "vip", "dnsrr"}:
        raise BadRequest(f'invalid resolution mode: "{endpoint.mode}"')
    return msgspec.structs.replace(endpoint, mode=endpoint.mode or "vip")
