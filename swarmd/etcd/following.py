"""A watch that notices when it is cut off.

A member that is cut off or stopped says nothing for ever (control-notes part 5); one whose keys rest says nothing, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from swarmd.etcd.client import EtcdClient, WatchStream
from swarmd.etcd.errors import EtcdUnavailable
from swarmd.etcd.stubs import rpc_pb2 as rpc
from swarmd.task_group import TaskGroup

SILENCE = 2.0
"""Seconds without an answer after which progress is asked for; after as many again the watch is given up."""
LEAST_BETWEEN = 0.1
"""Seconds between two requests for progress."""


class Compacted(Exception):
    """etcd has forgotten the revision that the watch was to begin with: list, and watch from there on."""


async def follow(
    client: EtcdClient,
    key: bytes,
    range_end: bytes = b"",
    *,
    start_revision: int,
    take: Callable[[rpc.WatchResponse], None],
    wanted: asyncio.Event | None = None,
    silence: float = SILENCE,
) -> NoReturn:
    """Hand on the answers of one watch until it fails.

    :param take: gets the changes, and the answers without any, whose header says how far the watch is.
    :param wanted: set by who waits for such an answer.
    :raises ExceptionGroup: of Compacted, EtcdUnavailable (open it anew) or EtcdError.
    """
    answers = 0

    async def end_at_silence(stream: WatchStream) -> None:
        # By waits, not by the clock: when this process itself has been stopped, it asks before it gives up.
        while True:
            before = answers
            await asyncio.sleep(silence)
            if answers != before:
                continue
            await stream.ask_progress()
            await asyncio.sleep(silence)
            if answers == before:
                raise EtcdUnavailable(f"the watch has been silent for {2 * silence:g} s")

    async def ask_when_wanted(stream: WatchStream, wanted: asyncio.Event) -> None:
        while True:
            await wanted.wait()
            wanted.clear()
            await stream.ask_progress()
            await asyncio.sleep(LEAST_BETWEEN)

    async with (
        TaskGroup() as group,
        client.watch(key, range_end, start_revision=start_revision) as stream,
    ):
        group.create_task(end_at_silence(stream))
        if wanted is not None:
            group.create_task(ask_when_wanted(stream, wanted))
        async for answer in stream:
            answers += 1
            if answer.compact_revision:
                raise Compacted
            if answer.canceled:
                raise EtcdUnavailable(answer.cancel_reason)
            if not answer.created:
                take(answer)
    raise AssertionError("a watch ends by an error only")
