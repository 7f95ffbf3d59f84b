"""Streams both ways after the head, ends of one direction, and clients that vanish."""

from __future__ import annotations

import asyncio
import os

import pytest
from front_peers import DEADLINE, answer, fill_up

from swarmd.front import exchange

SWITCHED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
HIJACKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: tcp\r\n"


async def echo_to_the_end(peer) -> None:
    """As ``exec -i cat``: gives back what comes, says "end" at the end of its input, then ends."""
    while data := await peer.reader.read(1 << 16):
        await peer.send(data)
    await peer.send(b"end")


@pytest.mark.parametrize(
    ("request_head", "answer_head"),
    [
        (b"POST /v1.45/containers/a/attach?stream=1 HTTP/1.1\r\n" + UPGRADE + b"\r\n", SWITCHED),
        (b"POST /v1.45/containers/a/attach?stream=1 HTTP/1.1\r\n\r\n", HIJACKED),
        (b"POST /exec/b/start HTTP/1.1\r\nContent-Length: 2\r\n" + UPGRADE + b"\r\n{}", SWITCHED),
        (b"POST /exec/b/start HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", HIJACKED),
        (b"POST /session HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", SWITCHED),
        (b"GET /containers/a/attach/ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", SWITCHED),
    ],
    ids=["attach", "attach without upgrade", "exec", "exec without upgrade", "session", "websocket"],
)
async def test_a_stream_goes_both_ways_and_the_end_of_its_input_is_not_its_end(rig, request_head, answer_head) -> None:
    async def handle(peer) -> None:
        if b"Content-Length" in await peer.read_head():
            await peer.read(2)
        await peer.send(answer_head)
        await echo_to_the_end(peer)

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(request_head)
    assert await client.read(len(answer_head)) == answer_head
    await client.send(b"GET /nodes HTTP/1.1\r\n\r\n")  # no request any more
    assert await client.read(23) == b"GET /nodes HTTP/1.1\r\n\r\n"
    client.end_sending()
    assert await client.read_to_end() == b"end"


async def test_the_end_of_output_is_not_the_end_of_input(rig) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHED)
        peer.end_sending()
        heard.set_result(await peer.read_to_end())

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /containers/a/attach HTTP/1.1\r\n" + UPGRADE + b"\r\n")
    assert await client.read_to_end() == SWITCHED
    await client.send(b"late input")
    client.end_sending()
    assert await asyncio.wait_for(heard, DEADLINE) == b"late input"


async def test_a_server_that_goes_away_ends_a_stream_whose_client_says_nothing(rig, eventually) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHED + b"last words")

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /containers/a/attach HTTP/1.1\r\n" + UPGRADE + b"\r\n")
    assert await client.read_to_end() == SWITCHED + b"last words"
    await eventually(lambda: rig.front.connections == 0)
    with pytest.raises(ConnectionError):  # as without the front
        await client.send(b"x")


async def test_a_server_that_ends_its_output_and_goes_later_ends_the_stream(rig, eventually) -> None:
    may_go = asyncio.Event()

    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHED)
        peer.end_sending()
        await may_go.wait()

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /containers/a/attach HTTP/1.1\r\n" + UPGRADE + b"\r\n")
    await client.read_to_end()
    may_go.set()
    await eventually(lambda: rig.front.connections == 0)


async def test_a_detached_exec_leaves_the_connection_to_further_requests(rig) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.read(15)
        await peer.send(answer(b""))
        await rig.engine.answer_plainly(peer)

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b'POST /exec/b/start HTTP/1.1\r\nContent-Length: 15\r\n\r\n{"Detach":true}')
    assert (await client.read_answer())[0] == 200
    assert (await client.ask("GET", "/nodes"))[1]["by"] == "swarmd"


async def test_a_refused_attach_leaves_the_connection_to_further_requests(rig) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(answer(b'{"message": "No such container: a"}', "404 Not Found"))

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /containers/a/attach HTTP/1.1\r\n" + UPGRADE + b"\r\n")
    assert (await client.read_answer())[0] == 404
    assert (await client.ask("GET", "/nodes"))[1]["by"] == "swarmd"


class Watched:
    """A server's side of a stream that is idle, and whether its end has been noticed there."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.open = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, peer) -> None:
        await peer.read_head()
        await peer.send(self.head)
        self.open.set()
        await peer.read_to_end()
        self.ended.set()


EVENTS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("half_closed_before", [False, True])
async def test_a_client_that_vanishes_from_an_idle_stream_frees_the_engines_side(rig, half_closed_before: bool) -> None:
    watched = Watched(EVENTS)
    rig.engine_does(watched)
    client = await rig.client()
    await client.send(b"GET /containers/a/logs?follow=1 HTTP/1.1\r\n\r\n")
    await client.read_head()
    if half_closed_before:
        client.end_sending()
    await client.close()
    await asyncio.wait_for(watched.ended.wait(), DEADLINE)


@pytest.mark.parametrize("half_closed_before", [False, True])
async def test_a_client_that_vanishes_from_an_idle_raw_stream_frees_the_engines_side(
    rig, half_closed_before: bool, eventually
) -> None:
    gone = asyncio.Event()

    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHED)
        await peer.read_to_end()
        await eventually(lambda: takes_no_more(peer))
        gone.set()

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /containers/a/attach HTTP/1.1\r\n" + UPGRADE + b"\r\n")
    await client.read_head()
    if half_closed_before:
        client.end_sending()
    await client.close()
    await asyncio.wait_for(gone.wait(), DEADLINE)


def takes_no_more(peer) -> bool:
    try:
        os.write(peer.writer.get_extra_info("socket").fileno(), b"x")
    except OSError:
        return True
    return False


async def test_a_client_that_vanishes_before_its_answer_frees_the_engines_side(rig) -> None:
    watched = Watched(b"")
    rig.engine_does(watched)
    client = await rig.client()
    await client.send(b"POST /containers/a/wait HTTP/1.1\r\n\r\n")
    await asyncio.wait_for(watched.open.wait(), DEADLINE)
    await client.close()
    await asyncio.wait_for(watched.ended.wait(), DEADLINE)


async def test_a_half_closed_client_gets_its_whole_answer(rig) -> None:
    may_answer = asyncio.Event()

    async def handle(peer) -> None:
        await peer.read_head()
        await may_answer.wait()
        await peer.send(answer(b"late"))

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /containers/a/wait HTTP/1.1\r\n\r\n")
    client.end_sending()
    may_answer.set()
    assert (await client.read_answer()) == (200, b"late")
    assert await client.read_to_end() == b""


async def test_what_a_client_had_sent_before_it_vanished_arrives_and_then_that_it_has(rig) -> None:
    size = 300_000  # more than a socket's buffer: the front is in the middle of it
    reading, may_read = asyncio.Event(), asyncio.Event()
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def handle(peer) -> None:
        await peer.read_head()
        peer.writer.transport.pause_reading()
        reading.set()
        await may_read.wait()
        peer.writer.transport.resume_reading()
        heard.set_result(await peer.read_to_end())

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(f"POST /commit HTTP/1.1\r\nContent-Length: {size}\r\n\r\n".encode())
    await asyncio.wait_for(reading.wait(), DEADLINE)
    await client.send(b"b" * size)
    await client.close()
    assert (await (await rig.client()).ask("GET", "/nodes"))[0] == 200  # by now the front knows that it is gone
    may_read.set()
    assert await asyncio.wait_for(heard, DEADLINE) == b"b" * size


async def test_a_vanished_upload_ends_at_the_server(rig) -> None:
    watched = Watched(b"")
    rig.engine_does(watched)
    client = await rig.client()
    await client.send(b"POST /images/load HTTP/1.1\r\nContent-Length: 100000\r\n\r\nsome")
    await client.close()
    await asyncio.wait_for(watched.ended.wait(), DEADLINE)


async def test_a_server_that_does_not_take_what_a_vanished_client_sent_is_dropped(
    rig, monkeypatch: pytest.MonkeyPatch, eventually
) -> None:
    monkeypatch.setattr(exchange, "LEFTOVER_PATIENCE", 0.05)
    accepted, over = asyncio.Event(), asyncio.Event()

    async def handle(peer) -> None:
        await peer.read_head()
        peer.writer.transport.pause_reading()
        accepted.set()
        await over.wait()

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"POST /images/load HTTP/1.1\r\nContent-Length: 90000000\r\n\r\n")
    await asyncio.wait_for(accepted.wait(), DEADLINE)
    await fill_up(client)
    client.writer.transport.abort()
    await eventually(lambda: rig.front.connections == 0)
    over.set()
