"""What a client is told when a server is not there, hangs, or ends; and an engine that is in swarm mode itself."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket

import pytest
from front_peers import DEADLINE, answer

from swarmd.front import connection, routes, servers, upstreams


@pytest.mark.parametrize("path", ["/_ping", "/info", "/v1.45/version", "/events"])
async def test_without_swarmd_the_engine_answers_for_the_node(rig, path: str) -> None:
    await rig.swarmd.stop()
    client = await rig.client()
    assert (await client.ask("GET", path))[1]["by"] == "engine"
    assert (await client.ask("GET", "/containers/json"))[1]["by"] == "engine"


async def test_without_swarmd_swarms_requests_say_so(rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SWARMD_PATIENCE", 0.1)
    await rig.swarmd.stop()
    client = await rig.client()
    assert await client.ask("GET", "/nodes") == (
        503,
        {"message": "swarmd does not answer on this node: see `systemctl status swarmd`"},
    )


async def test_swarms_requests_wait_for_a_swarmd_that_starts(rig) -> None:
    await rig.swarmd.stop()
    client = await rig.client()
    asking = asyncio.create_task(client.ask("GET", "/nodes"))
    other = await rig.client()
    assert (await other.ask("GET", "/info"))[1]["by"] == "engine"  # by now the first one waits too
    await rig.swarmd.start()
    assert (await asyncio.wait_for(asking, DEADLINE))[0] == 200


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    table = tuple((path, dataclasses.replace(rule, patience=0.05)) for path, rule in routes._TABLE)
    monkeypatch.setattr(routes, "_TABLE", table)


async def test_for_a_swarmd_that_hangs_the_engine_answers_for_the_node(rig, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)

    async def hang(peer) -> None:
        await peer.read_to_end()

    rig.swarmd_does(hang)
    client = await rig.client()
    assert (await client.ask("GET", "/_ping"))[1]["by"] == "engine"
    assert (await client.ask("GET", "/nodes"))[0] == 503


async def test_a_swarmd_whose_queue_is_full_counts_as_hung(rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstreams, "QUEUE_PATIENCE", 0.1)
    await rig.swarmd.stop()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(str(rig.swarmd.path))
        listener.listen(0)
        waiting.connect(str(rig.swarmd.path))
        client = await rig.client()
        assert (await client.ask("GET", "/info"))[1]["by"] == "engine"


async def test_a_question_that_swarmd_ended_on_is_asked_again(rig) -> None:
    async def end_once(peer) -> None:
        await peer.read_head()
        rig.swarmd_does(rig.swarmd.answer_plainly)

    rig.swarmd_does(end_once)
    client = await rig.client()
    assert (await client.ask("GET", "/nodes"))[1]["by"] == "swarmd"


@pytest.mark.parametrize("order", ["POST /services/create", "DELETE /services/x"])
async def test_an_order_that_swarmd_ended_on_is_not_given_again(rig, order: str) -> None:
    async def end(peer) -> None:
        await peer.read_head()

    rig.swarmd_does(end)
    client = await rig.client()
    await client.send(f"{order} HTTP/1.1\r\n\r\n".encode())
    assert (await client.read_answer())[0] == 503
    assert rig.swarmd.connections == 1


async def test_a_kept_connection_that_the_server_has_ended_is_not_used(rig) -> None:
    async def answer_once(peer) -> None:
        await peer.read_head()
        await peer.send(answer(b"{}"))

    rig.engine_does(answer_once)
    client = await rig.client()
    for _ in range(3):
        assert (await client.ask("GET", "/images/json"))[0] == 200


async def test_what_a_server_says_unasked_is_nobodys_answer(rig) -> None:
    async def say_too_much(peer) -> None:
        await peer.read_head()
        await peer.send(answer(b"{}") + answer(b"too much"))
        await peer.read_to_end()

    rig.engine_does(say_too_much)
    client = await rig.client()
    for _ in range(2):
        assert await client.ask("GET", "/images/json") == (200, {})


async def test_a_full_queue_of_the_engine_is_waited_for(rig) -> None:
    await rig.engine.stop()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as before:
        listener.bind(str(rig.engine.path))
        listener.listen(0)
        before.connect(str(rig.engine.path))
        asking = asyncio.create_task((await rig.client()).ask("GET", "/images/json"))
        assert (await (await rig.client()).ask("GET", "/nodes"))[0] == 200  # by now the first one waits
        accepted, _ = listener.accept()
        accepted.close()
        listener.setblocking(False)
        connected, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(listener), DEADLINE)
        with connected:
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(connected, 1000), DEADLINE)
            connected.send(answer(b"{}"))
            assert await asyncio.wait_for(asking, DEADLINE) == (200, {})


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_without_the_engine_it_is_said_what_to_look_at(rig, method: str) -> None:
    await rig.engine.stop()
    client = await rig.client()
    status, told = await client.ask(method, "/v1.45/images/json")
    path = rig.engine.path
    assert (status, told["message"]) == (
        503,
        f"Cannot connect to the Docker Engine at unix://{path}: No such file or directory; "
        "see `systemctl status docker`",
    )


async def test_a_refusal_of_head_has_no_body(rig) -> None:
    await rig.engine.stop()
    await rig.swarmd.stop()
    client = await rig.client()
    await client.send(b"HEAD /_ping HTTP/1.1\r\n\r\n")
    assert (await client.read_to_end()).endswith(b"\r\n\r\n")


async def test_a_refusal_reaches_a_client_that_sends_all_of_its_body_first(rig) -> None:
    await rig.engine.stop()
    client = await rig.client()
    await client.send(b"POST /images/load HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
    assert (await client.read_answer())[0] == 503


async def test_a_client_that_vanishes_from_a_refused_upload_is_let_go(rig, eventually) -> None:
    await rig.engine.stop()
    client = await rig.client()
    await client.send(b"POST /images/load HTTP/1.1\r\nContent-Length: 3000000\r\n\r\nxx")
    await client.read_head()
    await client.close()
    await eventually(lambda: rig.front.connections == 0)


@pytest.fixture
def in_a_swarm(rig, monkeypatch: pytest.MonkeyPatch):
    """The engine says that it is in a swarm, until it is taken out."""
    monkeypatch.setattr(servers, "ASK_EVERY", 0.02)
    state = {"LocalNodeState": "active"}

    async def handle(peer) -> None:
        if (await peer.read_head()).startswith(b"GET /info HTTP/1.0"):
            await peer.send(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps({"Swarm": state}).encode())
        else:
            await peer.send(answer(b'{"by": "engine"}'))

    rig.engine.handler = handle
    return state


async def test_beside_an_engine_in_swarm_mode_swarms_requests_are_refused_until_it_has_left(
    rig, in_a_swarm, eventually
) -> None:
    await eventually(lambda: rig.servers.refusal is not None)
    client = await rig.client()
    status, told = await client.ask("POST", "/swarm/init")
    assert status == 503
    assert f'"docker -H unix://{rig.engine.path} swarm leave --force"' in told["message"]
    other = await rig.client()
    assert (await other.ask("GET", "/info"))[1]["by"] == "engine"  # which shows its own swarm
    in_a_swarm["LocalNodeState"] = "inactive"
    await eventually(lambda: rig.servers.refusal is None)
    assert (await other.ask("GET", "/nodes"))[1]["by"] == "swarmd"


@pytest.mark.parametrize("said", [b"", b"nonsense", b"HTTP/1.0 500 x\r\n\r\n{}", b"HTTP/1.0 200 OK\r\n\r\n[]"])
async def test_an_engine_that_does_not_say_whether_it_is_in_a_swarm_is_asked_again(
    rig, monkeypatch: pytest.MonkeyPatch, said: bytes, eventually
) -> None:
    monkeypatch.setattr(servers, "ASK_EVERY", 0.01)
    asked = 0

    async def handle(peer) -> None:
        nonlocal asked
        await peer.read_head()
        asked += 1
        await peer.send(said)

    rig.engine.handler = handle
    await eventually(lambda: asked >= 3)
