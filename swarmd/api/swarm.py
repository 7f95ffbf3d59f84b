"""``/swarm``: form, enter, leave and change the cluster."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from aiohttp import web

from swarmd.api import answers, quorum, reading, rendering, validation
from swarmd.api.context import MEMBERSHIP, Route
from swarmd.api.quorum import read_cluster
from swarmd.api.sent import InitSent, JoinSent
from swarmd.errors import BadRequest, Conflict, OutOfSequence
from swarmd.membership import InitRequest, JoinRequest
from swarmd.model import SwarmSpec
from swarmd.store import Kind, Put, Unchanged


async def inspect(request: web.Request) -> web.Response:
    return answers.json(rendering.cluster(await read_cluster(request), tokens=True))


async def init(request: web.Request) -> web.Response:
    sent = await reading.struct(request, InitSent)
    spec = reading.complete_swarm_spec(sent.spec)
    validation.check_swarm(spec)
    validation.check_address_pool(sent.default_addr_pool, sent.subnet_size)
    validation.check_data_path_port(sent.data_path_port)
    node_id = await request.app[MEMBERSHIP].init(
        InitRequest(
            listen_address=validation.with_port(sent.listen_addr, "ListenAddr"),
            advertise_address=sent.advertise_addr,
            data_path_address=sent.data_path_addr,
            data_path_port=sent.data_path_port,
            default_addr_pool=tuple(sent.default_addr_pool),
            subnet_size=sent.subnet_size,
            force_new_cluster=sent.force_new_cluster,
            spec=spec,
            availability=reading.availability(sent.availability or "active").value,
        )
    )
    return answers.json(node_id)


async def join(request: web.Request) -> web.Response:
    sent = await reading.struct(request, JoinSent)
    listen = validation.with_port(sent.listen_addr, "ListenAddr")
    if not sent.remote_addrs:
        raise BadRequest("at least 1 RemoteAddr is required to join")
    await request.app[MEMBERSHIP].join(
        JoinRequest(
            remote_addresses=tuple(validation.with_port(address, "remoteAddr") for address in sent.remote_addrs),
            token=sent.join_token,
            listen_address=listen,
            advertise_address=sent.advertise_addr,
            data_path_address=sent.data_path_addr,
            availability=reading.availability(sent.availability or "active").value,
        )
    )
    return answers.nothing()


async def leave(request: web.Request) -> web.Response:
    await request.app[MEMBERSHIP].leave(force=answers.loose_flag(request, "force"))
    return answers.nothing()


async def update(request: web.Request) -> web.Response:
    """The whole spec anew. Rotating the unlock key without autolock changes nothing, as on Docker."""
    sent = await reading.struct(request, SwarmSpec)
    version = answers.version(request, "swarm")
    worker = answers.strict_flag(request, "rotateWorkerToken")
    manager = answers.strict_flag(request, "rotateManagerToken")
    answers.strict_flag(request, "rotateManagerUnlockKey")
    entry = await read_cluster(request)
    spec = reading.complete_swarm_spec(sent)
    validation.check_swarm(spec)
    if version != entry.version:
        raise OutOfSequence
    changed = msgspec.structs.replace(entry.value, spec=spec, updated_at=datetime.now(UTC))
    guard = Unchanged(Kind.CLUSTER, changed.id, version)
    await quorum.write(request, [Put(Kind.CLUSTER, changed.id, changed)], guard)
    if worker or manager:
        await request.app[MEMBERSHIP].rotate_token(worker=worker, manager=manager)
    return answers.nothing()


async def unlock_key(request: web.Request) -> web.Response:
    """Empty: there is no autolock yet, and that is what Docker says without it."""
    await read_cluster(request)
    return answers.json({"UnlockKey": ""})


async def unlock(request: web.Request) -> web.Response:
    request.app[MEMBERSHIP].store()
    raise Conflict("swarm is not locked")


ROUTES: tuple[Route, ...] = (
    ("GET", "/swarm", inspect),
    ("POST", "/swarm/init", init),
    ("POST", "/swarm/join", join),
    ("POST", "/swarm/leave", leave),
    ("POST", "/swarm/update", update),
    ("GET", "/swarm/unlockkey", unlock_key),
    ("POST", "/swarm/unlock", unlock),
)
