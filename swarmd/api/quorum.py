"""Reading and writing the cluster's state within the time that a user is made to wait for a lost quorum."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from swarmd.api.context import MEMBERSHIP
from swarmd.errors import Lost, NoLeader, OutOfSequence
from swarmd.membership import Membership
from swarmd.model import Cluster
from swarmd.store import Change, Entry, Snapshot, Store, Unchanged

STARTING = 0.05
"""Seconds between two looks at a manager that starts."""
DEADLINE = 1.8
"""Seconds; the answer that there is no leader is due within 2 s."""


async def read(request: web.Request) -> Snapshot:
    """A snapshot that holds every write acknowledged before this request.

    :raises swarmd.errors.NodeUnavailable: this node is no manager.
    :raises NoLeader: the quorum did not answer in time, or is known to be lost.
    """
    try:
        async with asyncio.timeout(DEADLINE):
            return await (await _store(request.app[MEMBERSHIP])).fresh()
    except TimeoutError:
        raise NoLeader from None


async def write(request: web.Request, changes: Sequence[Change], *guards: Unchanged) -> int:
    """
    :raises OutOfSequence: a guarded entry has changed.
    :raises swarmd.errors.AlreadyExists: a service's name is taken.
    :raises NoLeader: the quorum did not answer in time, or is known to be lost; whether it was written is unknown.
    """
    try:
        async with asyncio.timeout(DEADLINE):
            return await (await _store(request.app[MEMBERSHIP])).commit(changes, guards=guards)
    except Lost:
        raise OutOfSequence from None
    except TimeoutError:
        raise NoLeader from None


async def _store(membership: Membership) -> Store:
    """A manager that starts is waited for: its etcd takes part again within a second, if there is a quorum.

    :raises swarmd.errors.NodeUnavailable: this node is no manager, or cannot be one now.
    :raises NoLeader: there is none to wait for.
    """
    while True:
        if await membership.lacks_leader():
            raise NoLeader
        try:
            return membership.store()
        except NoLeader:
            await asyncio.sleep(STARTING)


async def read_cluster(request: web.Request) -> Entry[Cluster]:
    """As read; the cluster's own entry."""
    cluster = (await read(request)).cluster
    if cluster is None:
        raise NoLeader  # formed a moment ago, and the mirror has nothing yet
    return cluster
