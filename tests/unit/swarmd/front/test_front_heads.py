"""Heads that are whole, broken, huge, or slow in coming; framings of bodies."""

from __future__ import annotations

import json

import pytest
from front_peers import answer

from swarmd.front import stream
from swarmd.front.framing import Chunked, Malformed
from swarmd.front.heads import parse_answer, parse_request


@pytest.mark.parametrize(
    "head",
    [
        b"GET\r\n\r\n",
        b"GET /x\r\n\r\n",
        b"GET /x HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"G@T /x HTTP/1.1\r\n\r\n",
        b"GET /x y HTTP/1.1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /x HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length:\r\n\r\n",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    ],
)
async def test_a_malformed_request_is_told_so_and_the_others_go_on(rig, head: bytes) -> None:
    other, client = await rig.client(), await rig.client()
    await client.send(head)
    status, body = await client.read_answer()
    assert status == 400
    assert json.loads(body)["message"].startswith("malformed HTTP request: ")
    assert await client.read_to_end() == b""
    assert (await other.ask("GET", "/nodes"))[0] == 200


async def test_a_head_above_1_mib_is_refused(rig) -> None:
    client = await rig.client()
    await client.send(b"GET /info HTTP/1.1\r\nX: " + b"x" * (stream.LARGEST_HEAD + 200_000))
    status, body = await client.read_answer()
    assert (status, json.loads(body)["message"]) == (431, "the head of the request is larger than 1 MiB")


async def test_a_head_just_below_1_mib_goes_through(rig) -> None:
    client = await rig.client()
    await client.send(b"GET /images/json HTTP/1.1\r\nX: " + b"x" * (60 << 10) + b"\r\n\r\n")
    assert (await client.read_answer())[0] == 200


async def test_a_client_that_stops_in_the_middle_of_a_head_is_cut(rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEAD_PATIENCE", 0.01)
    client = await rig.client()
    await client.send(b"GET /info HTT")
    assert (await client.read_answer())[0] == 408
    assert await client.read_to_end() == b""


async def test_a_head_that_comes_in_pieces_and_empty_lines_before_it(rig) -> None:
    client = await rig.client()
    for piece in (b"\r", b"\n\r\n", b"GET /nodes HT", b"TP/1.1\r\n\r", b"\n"):
        await client.send(piece)
    assert (await client.read_answer())[0] == 200


async def test_a_client_that_ends_in_the_middle_of_a_head_just_ends(rig) -> None:
    client = await rig.client()
    await client.send(b"GET /info HTT")
    client.end_sending()
    assert await client.read_to_end() == b""


async def test_http_1_0_is_answered_and_closed(rig) -> None:
    client = await rig.client()
    await client.send(b"GET /nodes HTTP/1.0\r\n\r\n")
    assert b'"by": "swarmd"' in await client.read_to_end()


async def test_what_the_engine_says_is_handed_on_byte_by_byte(rig) -> None:
    said = b"HTTP/1.1 409 Conflict\r\nAPI-version: 1.45\r\nX:  odd \r\ncontent-length: 2\r\n\r\n{}"
    heard = []

    async def handle(peer) -> None:
        heard.append(await peer.read_head())
        await peer.send(said)

    rig.engine_does(handle)
    client = await rig.client()
    asked = b"DELETE /v1.45/x?a=%20b HTTP/1.1\r\nhost: x\r\nX-Odd:  1 \r\n\r\n"
    await client.send(asked)
    assert await client.read(len(said)) == said
    assert heard == [asked]


async def test_an_answer_that_is_not_http_is_told_as_such(rig) -> None:
    async def handle(peer) -> None:
        await peer.read_head()
        await peer.send(b"SSH-2.0-x\r\n\r\n")

    rig.engine_does(handle)
    client = await rig.client()
    status, told = await client.ask("GET", "/images/json")
    assert status == 502
    assert "answered what is not HTTP" in told["message"]


@pytest.mark.parametrize("head", ["HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7"])
def test_answers_without_a_body_by_their_status(head: str) -> None:
    assert parse_answer(f"{head}\r\n\r\n".encode(), "GET").body.done


def test_an_answer_to_head_has_no_body() -> None:
    assert parse_answer(answer(b"")[:-4].replace(b"0", b"9") + b"\r\n\r\n", "HEAD").body.done


def test_chunks_decide_where_there_is_a_length_too() -> None:
    request = parse_request(b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n")
    assert isinstance(request.body, Chunked)


CHUNKS = b"4;ext=1\r\nab\r\n\r\n" + b"0001\r\nx\r\n" + b"0\r\nDigest: z\r\nOther: y\r\n\r\n"


@pytest.mark.parametrize("size", range(1, len(CHUNKS) + 2))
def test_the_end_of_chunks_is_found_in_pieces_of_any_size(size: int) -> None:
    body, data, taken = Chunked(), CHUNKS + b"GET /next", 0
    while not body.done:
        taken += body.take(memoryview(data)[taken : taken + size])
    assert data[:taken] == CHUNKS


@pytest.mark.parametrize(
    "broken", [b"zz\r\n", b"\r\n", b"-1\r\n", b"0x1\r\n", b"1" * 17 + b"\r\n", b"1;" + b"e" * 20000]
)
def test_broken_chunks_are_refused(broken: bytes) -> None:
    with pytest.raises(Malformed):
        Chunked().take(memoryview(broken))
