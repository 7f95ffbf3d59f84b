"""Bodies from one end to another, each piece as soon as it comes and no sooner than the other side takes it."""

from __future__ import annotations

import asyncio

from swarmd.front import bulk
from swarmd.front.framing import Framing, Malformed
from swarmd.front.stream import Gone, Stream

_BUFFER = 256 << 10
_TURN = 1 << 20
"""Bytes, about 1 ms: the loop's socket calls do not yield while there is data, and others must get their turn."""


async def forward(source: Stream, body: Framing, sink: Stream | None, before: bytes = b"") -> None:
    """Send ``before``, then a body as it comes; without a sink, throw the body away.

    :raises Gone: its ``stream`` tells which side; what the sink did not take is lost, ``body`` knows its place.
    :raises Malformed: a chunked body is broken.
    """
    if source.pending and not body.done:
        try:
            taken = body.take(memoryview(source.pending))
        except Malformed:
            if sink:
                await sink.send(before)
            raise
        before += source.pending[:taken]
        source.pending = source.pending[taken:]
    if before and sink:
        await sink.send(before)
    if body.done:
        return
    buffer = bytearray(_BUFFER)
    view = memoryview(buffer)
    turn = 0
    while not body.done:
        received = await source.receive_into(buffer)
        if not received:
            if body.ends_with_connection:
                return
            raise Gone(source, "the connection ended in the middle of a body")
        taken = body.take(view[:received])
        source.pending = bytes(view[taken:received])
        if sink:
            await sink.send(view[:taken])
            if received >= bulk.FAST and not body.done and (unsent := await bulk.copy(source, body, sink, buffer)):
                await sink.send(unsent)
        turn += received
        if turn >= _TURN:
            turn = 0
            await asyncio.sleep(0)
