"""Long bodies, which threads copy while they come fast: the same bytes, ends and errors as by the loop."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator

import pytest
from front_peers import DEADLINE, MEGABYTE, answer

from swarmd.front import bulk, server
from swarmd.front.framing import Chunked, Length, UntilClose

SIZE = 12_000_000
BODY = random.Random(1).randbytes(SIZE)


def in_chunks(body: bytes, *sizes: int) -> bytes:
    """Chunks of these sizes in turns, and trailers."""
    chunks, at, turn = [], 0, 0
    while at < len(body):
        chunk = body[at : at + sizes[turn % len(sizes)]]
        chunks.append(b"%x;ext=1\r\n%b\r\n" % (len(chunk), chunk))
        at, turn = at + len(chunk), turn + 1
    return b"".join(chunks) + b"0\r\nDigest: abc\r\n\r\n"


CHUNKED = b"Transfer-Encoding: chunked\r\n"
FRAMED = {
    "length": (b"Content-Length: %d\r\n" % SIZE, BODY),
    "chunks of 1 MiB": (CHUNKED, in_chunks(BODY, 1 << 20)),
    "chunks of 32 KiB": (CHUNKED, in_chunks(BODY, 32 << 10)),
    "chunks large and small": (CHUNKED, in_chunks(BODY, 400_000, 1, 100, 70_000, 20_000)),
}
every_framing = pytest.mark.parametrize(("field", "framed"), FRAMED.values(), ids=FRAMED)


@pytest.fixture
def by_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The bytes of each piece that came in on another thread than the loop's."""
    pieces: list[int] = []
    here = threading.get_ident()
    for framing in (Chunked, Length, UntilClose):

        def take(self, data: memoryview, really=framing.take) -> int:
            if threading.get_ident() != here:
                pieces.append(len(data))
            return really(self, data)

        monkeypatch.setattr(framing, "take", take)
    yield pieces
    assert bulk._free._value == bulk.MOST


async def send_in_pieces(peer, data: bytes, piece: int = 300_000) -> None:
    for at in range(0, len(data), piece):
        await peer.send(data[at : at + piece])


async def trickle(peer, size: int) -> bytes:
    """Read with pauses, so that the other side has to wait again and again."""
    received = bytearray()
    while len(received) < size:
        received += await peer.read(min(size - len(received), 400_000))
        await asyncio.sleep(0.001)
    return bytes(received)


@every_framing
async def test_a_long_body_goes_up_as_it_is_and_the_connection_stays(by_threads, rig, field, framed) -> None:
    heard = []

    async def handle(peer) -> None:
        await peer.read_head()
        heard.append(await trickle(peer, len(framed)))
        await peer.send(answer(b"{}"))

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"PUT /containers/a/archive HTTP/1.1\r\n" + field + b"\r\n")
    await send_in_pieces(client, framed)
    assert (await client.read_answer())[0] == 200
    assert heard == [framed]
    assert sum(by_threads) > SIZE // 2
    assert (await client.ask("GET", "/nodes"))[1]["by"] == "swarmd"


@every_framing
async def test_a_long_body_comes_down_as_it_is_and_the_connection_stays(by_threads, rig, field, framed) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + field + b"\r\n")
        await send_in_pieces(peer, framed)
        await rig.engine.answer_plainly(peer)

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"GET /containers/a/archive HTTP/1.1\r\n\r\n")
    await client.read_head()
    assert await trickle(client, len(framed)) == framed
    assert sum(by_threads) > SIZE // 2
    assert (await client.ask("GET", "/images/json"))[1]["by"] == "engine"


async def test_a_long_raw_stream_goes_both_ways_to_the_end_of_each(by_threads, rig) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        while data := await peer.reader.read(300_000):
            await peer.send(data)
        await peer.send(b"end")

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /containers/a/attach HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
    await client.read_head()
    reading = asyncio.create_task(client.read_to_end())
    await send_in_pieces(client, BODY)
    client.end_sending()
    assert await reading == BODY + b"end"
    assert by_threads


@every_framing
async def test_all_that_a_client_sent_before_it_vanished_arrives_and_then_that_it_has(
    by_threads, rig, field, framed
) -> None:
    half = framed[: SIZE // 2]
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def handle(peer) -> None:
        await peer.read_head()
        heard.set_result(await peer.read_to_end())

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"PUT /containers/a/archive HTTP/1.1\r\n" + field + b"\r\n")
    await send_in_pieces(client, half)
    await client.close()
    assert await asyncio.wait_for(heard, DEADLINE) == half
    assert by_threads


@every_framing
async def test_an_answer_that_breaks_off_half_way_breaks_off_at_the_client(by_threads, rig, field, framed) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + field + b"\r\n")
        await send_in_pieces(peer, framed[: SIZE // 2])

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"GET /containers/a/archive HTTP/1.1\r\n\r\n")
    await client.read_head()
    assert await client.read_to_end() == framed[: SIZE // 2]
    assert by_threads


@every_framing
async def test_a_server_that_answers_half_way_and_closes_is_heard_by_a_client_that_sends_all(
    by_threads, rig, field, framed
) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.read(SIZE // 3)
        await peer.send(answer(b"{}", "500 Internal Server Error"))

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"PUT /containers/a/archive HTTP/1.1\r\n" + field + b"\r\n")
    await send_in_pieces(client, framed)
    assert (await client.read_answer())[0] == 500
    assert by_threads
    assert (await client.ask("GET", "/nodes"))[1]["by"] == "swarmd"


async def test_a_client_that_goes_from_a_long_answer_frees_the_servers_side(by_threads, rig) -> None:
    broken = asyncio.Event()

    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                await peer.send(MEGABYTE)
        except ConnectionError:
            broken.set()

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"GET /images/a/get HTTP/1.1\r\n\r\n")
    await client.read(4 << 20)
    client.writer.transport.abort()
    await asyncio.wait_for(broken.wait(), DEADLINE)
    assert by_threads


async def test_what_comes_before_broken_chunks_arrives(by_threads, rig) -> None:
    whole = in_chunks(BODY, 1 << 20).removesuffix(b"0\r\nDigest: abc\r\n\r\n")
    heard = []

    async def handle(peer) -> None:
        await peer.read_head()
        heard.append(await peer.read_to_end())
        await peer.send(answer(b"{}", "400 Bad Request"))

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /build HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    await send_in_pieces(client, whole)
    await client.send(b"nonsense\r\n")
    assert (await client.read_answer())[0] == 400
    assert len(heard[0]) > SIZE - len(MEGABYTE)
    assert whole.startswith(heard[0])
    assert by_threads


async def test_a_body_beyond_the_threads_is_copied_by_the_loop(
    by_threads, rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_free", threading.BoundedSemaphore(bulk.MOST))
    for _ in range(bulk.MOST):
        bulk._free.acquire()
    client = await rig.client()
    await client.send(b"PUT /containers/a/archive HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % SIZE)
    await send_in_pieces(client, BODY)
    assert (await client.read_answer())[0] == 200
    assert not by_threads
    for _ in range(bulk.MOST):
        bulk._free.release()


@every_framing
async def test_a_long_body_is_whole_when_its_thread_gives_up_at_every_pause(
    by_threads, rig, monkeypatch: pytest.MonkeyPatch, field, framed
) -> None:
    monkeypatch.setattr(bulk, "PAUSE_MS", 0)
    heard = []

    async def handle(peer) -> None:
        await peer.read_head()
        peer.writer.transport.pause_reading()
        await asyncio.sleep(0.2)  # all buffers on the way are full by then
        peer.writer.transport.resume_reading()
        heard.append(await trickle(peer, len(framed)))
        await peer.send(answer(b"{}"))
        await rig.engine.answer_plainly(peer)

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"PUT /containers/a/archive HTTP/1.1\r\n" + field + b"\r\n")
    await send_in_pieces(client, framed + b"GET /images/json HTTP/1.1\r\n\r\n")
    assert (await client.read_answer())[0] == 200
    assert heard == [framed]
    assert (await client.read_answer())[0] == 200
    assert by_threads


async def test_a_stop_cuts_a_long_body_that_is_under_way(by_threads, rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE", 0.05)
    monkeypatch.setattr(bulk, "PAUSE_MS", 60_000)

    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(MEGABYTE)

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"GET /images/a/get HTTP/1.1\r\n\r\n")
    await client.read(4 << 20)
    rig.stopped.set()
    assert await client.read_to_end()
    await asyncio.wait_for(rig.run, DEADLINE)
    assert by_threads
