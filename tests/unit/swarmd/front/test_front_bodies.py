"""Bodies in every framing, both ways, in bounded memory."""

from __future__ import annotations

import asyncio
import json
import tracemalloc

import pytest
from front_peers import DEADLINE, MEGABYTE, answer, fill_up
from test_front_heads import CHUNKS


async def test_chunks_with_trailers_go_down_as_they_are_and_the_connection_stays(rig) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS)
        await rig.engine.answer_plainly(peer)

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"GET /images/json HTTP/1.1\r\n\r\n")
    await client.read_head()
    assert await client.read(len(CHUNKS)) == CHUNKS
    assert (await client.ask("GET", "/nodes"))[1]["by"] == "swarmd"
    assert (await client.ask("GET", "/images/json"))[1]["by"] == "engine"


async def test_chunks_with_trailers_go_up_as_they_are_and_the_connection_stays(rig) -> None:
    heard = []

    async def handle(peer) -> None:
        await peer.read_head()
        heard.append(await peer.read(len(CHUNKS)))
        await peer.send(answer(b"{}"))

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /build HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS)
    assert (await client.read_answer())[0] == 200
    assert heard == [CHUNKS]
    assert (await client.ask("GET", "/nodes"))[1]["by"] == "swarmd"


@pytest.mark.parametrize("size", [300_000, 2_000_000])
async def test_a_request_right_behind_a_long_body_is_the_next_one(rig, size: int) -> None:
    client = await rig.client()
    body = b"POST /images/load HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + b"b" * size
    await client.send(body + b"GET /nodes HTTP/1.1\r\n\r\n" + body + b"GET /tasks HTTP/1.1\r\n\r\n")
    said = [json.loads((await client.read_answer())[1])["line"] for _ in range(4)]
    assert [line.split()[1] for line in said] == ["/images/load", "/nodes", "/images/load", "/tasks"]


async def test_an_answer_until_close_ends_the_connection(rig) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"GET /containers/a/logs HTTP/1.1\r\n\r\n")
    assert (await client.read_to_end()).endswith(b"\r\n\r\nall of it")


async def test_an_answer_that_breaks_off_is_seen_as_broken_off(rig) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"GET /images/a/get HTTP/1.1\r\n\r\n")
    assert (await client.read_to_end()).endswith(b"half")


async def test_50_mb_up_and_down_in_little_memory(rig) -> None:
    amount = 50
    received = 0

    async def handle(peer) -> None:
        nonlocal received
        await peer.read_head()
        for _ in range(amount):
            received += len(await peer.read(len(MEGABYTE)))
        await peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {amount * len(MEGABYTE)}\r\n\r\n".encode())
        for _ in range(amount):
            await peer.send(MEGABYTE)

    rig.engine_does(handle)
    client = await rig.client()
    tracemalloc.start()
    try:
        await client.send(f"POST /images/load HTTP/1.1\r\nContent-Length: {amount * len(MEGABYTE)}\r\n\r\n".encode())
        for _ in range(amount):
            await client.send(MEGABYTE)
        await client.read_head()
        for _ in range(amount):
            assert await client.read(len(MEGABYTE)) == MEGABYTE
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert received == amount * len(MEGABYTE)
    assert peak < 8 << 20  # of it most is the test's own


async def test_a_server_that_does_not_read_holds_the_client_up(rig, eventually) -> None:
    reading, may_read, total = asyncio.Event(), asyncio.Event(), 0

    async def handle(peer) -> None:
        nonlocal total
        await peer.read_head()
        peer.writer.transport.pause_reading()
        reading.set()
        await may_read.wait()
        peer.writer.transport.resume_reading()
        while total < (64 << 20):
            data = await peer.reader.read(1 << 20)
            assert data
            total += len(data)
        await peer.send(answer(b"{}"))

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /images/load HTTP/1.1\r\nContent-Length: 67108864\r\n\r\n")
    await asyncio.wait_for(reading.wait(), DEADLINE)
    sent = await fill_up(client)
    assert sent < 4 << 20
    may_read.set()
    rest = (64 << 20) - sent
    while rest:
        await client.send(MEGABYTE[:rest])
        rest -= len(MEGABYTE[:rest])
    assert (await client.read_answer())[0] == 200


async def test_a_client_that_does_not_read_holds_the_server_up(rig) -> None:
    written, held = 0, asyncio.Event()

    async def handle(peer) -> None:
        nonlocal written
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        written = await fill_up(peer)
        held.set()

    rig.engine_does(handle)
    client = await rig.client()
    client.writer.transport.pause_reading()
    await client.send(b"GET /images/a/get HTTP/1.1\r\n\r\n")
    await asyncio.wait_for(held.wait(), DEADLINE)
    assert written < 4 << 20
    client.writer.transport.resume_reading()
    body = (await client.read_to_end()).partition(b"\r\n\r\n")[2]
    assert len(body) == written


async def test_a_body_waits_for_the_servers_100(rig) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await peer.read(4) == b"body"
        await peer.send(answer(b"{}"))

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /build HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert (await client.read_head()).startswith(b"HTTP/1.1 100 ")
    await client.send(b"body")
    assert (await client.read_answer())[0] == 200
    assert (await client.ask("GET", "/nodes"))[0] == 200


async def test_a_refusal_instead_of_a_100_ends_the_connection_because_the_body_may_follow_or_not(rig) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(answer(b"{}", "417 Expectation Failed"))
        await peer.read_to_end()

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /build HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert b"\r\nConnection: close\r\n" in await client.read_head()
    assert await client.read_to_end() == b"{}"


@pytest.mark.parametrize("closes", [True, False], ids=["and closes", "and reads no more"])
async def test_an_early_error_reaches_a_client_that_still_sends(rig, closes: bool) -> None:
    over = asyncio.Event()

    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(answer(b'{"message": "no space left on device"}', "500 Internal Server Error"))
        if not closes:
            peer.writer.transport.pause_reading()
            await over.wait()

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"PUT /containers/a/archive HTTP/1.1\r\nContent-Length: 900000000\r\n\r\n" + MEGABYTE[:1000])
    status, body = await client.read_answer()
    assert (status, json.loads(body)["message"]) == (500, "no space left on device")
    over.set()


async def test_a_client_that_sends_all_before_it_reads_gets_the_early_error(rig) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(answer(b"{}", "403 Forbidden"))

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(f"POST /images/load HTTP/1.1\r\nContent-Length: {8 * len(MEGABYTE)}\r\n\r\n".encode())
    for _ in range(8):
        await client.send(MEGABYTE)
    assert (await client.read_answer())[0] == 403
    assert (await client.ask("GET", "/nodes"))[0] == 200


async def test_a_body_that_breaks_off_breaks_off_at_the_server_too(rig) -> None:
    heard = []

    async def handle(peer) -> None:
        await peer.read_head()
        heard.append(await peer.read_to_end())
        await peer.send(answer(b"{}", "400 Bad Request"))

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /build HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
    client.end_sending()
    assert (await client.read_answer())[0] == 400
    assert heard == [b"5\r\nhel"]


async def test_broken_chunks_end_the_body_at_the_server(rig) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.read_to_end()
        await peer.send(answer(b"{}", "400 Bad Request"))

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /build HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
    assert (await client.read_answer())[0] == 400
    assert await client.read_to_end() == b""
