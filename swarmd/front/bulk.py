"""A body that comes fast is copied by a thread of its own for as long as it does.

Most of the price is in waking up: a unix socket's writer fills it by about 36 KiB at a time, and coming back to it
through asyncio, the front takes twice the CPU of a thread that waits in poll(2). The copying itself is a tenth of it.
"""

from __future__ import annotations

import asyncio
import select
import threading

from swarmd.front.framing import Framing
from swarmd.front.stream import Gone, Stream

FAST = 16 << 10
"""Bytes received at once."""
PAUSE_MS = 20
"""A side that keeps its thread waiting for longer is not fast: the loop waits for it, as for all others."""
MOST = 4
"""Threads at a time; asyncio's executor has more. Further bodies are the loop's."""

_free = threading.BoundedSemaphore(MOST)


async def copy(source: Stream, body: Framing, sink: Stream, buffer: bytearray) -> memoryview:
    """Send what comes until the body ends, or a side makes a pause; returns what is received and not sent yet.

    :raises Gone:
    :raises Malformed: a chunked body is broken.
    """
    if not _free.acquire(blocking=False):
        return memoryview(b"")
    stopped = threading.Event()
    running = asyncio.get_running_loop().run_in_executor(None, _copy, source, body, sink, buffer, stopped)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stopped.set()
        await asyncio.wait((running,))  # it uses the sockets, and whoever cancels is about to close them
        raise
    finally:
        _free.release()


def _copy(source: Stream, body: Framing, sink: Stream, buffer: bytearray, stopped: threading.Event) -> memoryview:
    readable, writable = select.poll(), select.poll()
    readable.register(source.socket, select.POLLIN)
    writable.register(sink.socket, select.POLLOUT)
    view = memoryview(buffer)
    while not (body.done or stopped.is_set()):
        try:
            received = source.socket.recv_into(buffer)
        except BlockingIOError:
            if not readable.poll(PAUSE_MS):
                break
            continue
        except OSError as error:
            raise Gone(source, error.strerror or str(error)) from error
        if not received:
            break  # the end of file is there for the next one who reads, too
        taken = body.take(view[:received])
        source.pending = bytes(view[taken:received])
        unsent = view[:taken]
        while unsent:
            try:
                unsent = unsent[sink.socket.send(unsent) :]
            except BlockingIOError:
                if stopped.is_set() or not writable.poll(PAUSE_MS):
                    return unsent
            except OSError as error:
                raise Gone(sink, error.strerror or str(error)) from error
    return view[:0]
