"""``/services/{id}/logs`` and ``/tasks/{id}/logs``; what nodes bring is the test's to say."""

from __future__ import annotations

import asyncio
import struct

import pytest
from scripted_membership import WORKER1

from swarmd.membership import LogPiece, LogSelector, LogStream
from swarmd.model import TaskState
from swarmd.wire import LogOptions

MOMENT = "2026-01-02T03:04:05.000000006Z"


def piece(text: bytes, *, task: str = "t1", stream: LogStream = LogStream.STDOUT, **details: str) -> LogPiece:
    return LogPiece("s1", task, WORKER1, stream, MOMENT, text, details)


def frames(body: bytes) -> list[tuple[int, bytes]]:
    found = []
    while body:
        stream, length = struct.unpack_from(">BxxxL", body)
        found.append((stream, body[8 : 8 + length]))
        body = body[8 + length :]
    return found


@pytest.fixture
async def web(swarm) -> str:
    body = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}}
    _, answer = await swarm.call("POST", "/services/create", body)
    return answer["ID"]


async def read(swarm, path: str, **query: str) -> tuple[str, bytes]:
    async with swarm.client.get(f"http://docker{path}", params=query) as response:
        assert response.status == 200, await response.text()
        return response.headers["Content-Type"], await response.read()


async def test_each_line_is_a_frame_of_its_stream(swarm, web):
    swarm.membership.brought = [[piece(b"one\n"), piece(b"\n")], [piece(b"bad\n", stream=LogStream.STDERR)]]
    kind, body = await read(swarm, "/services/web/logs", stdout="1", stderr="1")
    assert kind == "application/vnd.docker.multiplexed-stream"
    assert frames(body) == [(1, b"one\n"), (1, b"\n"), (2, b"bad\n")]


async def test_moment_and_context_stand_before_the_line(swarm, web):
    swarm.membership.brought = [[piece(b"one two\n"), piece(b"x\n", a="b c", **{"com.docker.swarm.task.id": "forged"})]]
    _, body = await read(swarm, "/services/web/logs", stdout="1", timestamps="1", details="1")
    ours = f"com.docker.swarm.node.id={WORKER1},com.docker.swarm.service.id=s1,com.docker.swarm.task.id=t1"
    assert [text.decode() for _, text in frames(body)] == [
        f"{MOMENT} {ours} one two\n",
        f"{MOMENT} a=b+c,{ours} x\n",
    ]


async def test_what_is_asked_for(swarm, web, add_task):
    await read(swarm, "/services/web/logs", stdout="1")
    await read(swarm, f"/services/{web[:8]}/logs", stderr="1", follow="1", tail="10", since="1700000000.5")
    task = await add_task(web, 1, TaskState.RUNNING)
    await read(swarm, f"/tasks/{task.id}/logs", stdout="true", stderr="1", tail="all", since="7")
    service = LogSelector(service_id=web)
    assert swarm.membership.calls == [
        (service, LogOptions(stderr=False)),
        (service, LogOptions(stdout=False, follow=True, tail=10, since="1700000000.500000000")),
        (LogSelector(task_id=task.id), LogOptions(since="7.000000000")),
    ]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 500, "Bad parameters: you must choose at least one stream"),
        ("stdout=1&tail=x", 500, 'tail value must be a positive integer or "all"'),
        ("stdout=1&tail=-1", 500, "negative tail values not supported"),
        (
            "stdout=1&since=x",
            500,
            'could not parse since timestamp: strconv.ParseInt: parsing "x": invalid syntax',
        ),
    ],
)
async def test_refusals(swarm, web, query, status, words):
    assert await swarm.refused("GET", f"/services/web/logs?{query}") == (status, words)
    assert swarm.membership.calls == []


async def test_logs_of_nothing(swarm):
    assert await swarm.refused("GET", "/services/none/logs?stdout=1") == (404, "service none not found")
    assert await swarm.refused("GET", "/tasks/none/logs?stdout=1") == (404, "task none not found")


async def test_logs_on_a_node_that_is_no_manager(api):
    status, words = await api.refused("GET", "/services/web/logs?stdout=1")
    assert (status, words[:39]) == (503, 'This node is not a swarm manager. Use "')


async def test_a_terminals_log_comes_as_it_is(swarm):
    body = {"Name": "tty", "TaskTemplate": {"ContainerSpec": {"Image": "nginx", "TTY": True}}}
    await swarm.call("POST", "/services/create", body)
    swarm.membership.brought = [[piece(b"one\r\n"), piece(b"two\r\n")]]
    swarm.membership.lacking = ["node n is not available"]
    kind, text = await read(swarm, "/services/tty/logs", stdout="1")
    assert kind == "application/vnd.docker.raw-stream"
    assert text.splitlines()[:2] == [b"one", b"two"]
    assert text.splitlines()[2].startswith(b"Error grabbing logs: rpc error: code = Unknown desc = warning:")


async def test_clients_before_1_42_are_told_of_no_frames_and_get_them(swarm, web):
    swarm.membership.brought = [[piece(b"one\n")]]
    kind, body = await read(swarm, "/v1.41/services/web/logs", stdout="1")
    assert kind == "application/vnd.docker.raw-stream"
    assert frames(body) == [(1, b"one\n")]


async def test_what_could_not_be_had_is_said_after_what_could(swarm, web):
    swarm.membership.brought = [[piece(b"one\n")]]
    swarm.membership.lacking = ["node n1 is not available", "task t2 has not been scheduled"]
    _, body = await read(swarm, "/services/web/logs", stdout="1")
    assert frames(body) == [
        (1, b"one\n"),
        (
            3,
            b"Error grabbing logs: rpc error: code = Unknown desc = warning: incomplete log stream. some logs could "
            b"not be retrieved for the following reasons: node n1 is not available, task t2 has not been scheduled\n",
        ),
    ]


async def test_lines_are_sent_while_more_are_awaited(swarm, web):
    swarm.membership.brought, swarm.membership.more = [[piece(b"one\n")]], asyncio.Event()
    async with swarm.client.get("http://docker/services/web/logs?stdout=1&follow=1") as response:
        assert frames(await response.content.readany()) == [(1, b"one\n")]
        swarm.membership.more.set()
        assert await response.content.readany() == b""


async def test_who_hangs_up_is_brought_nothing_more(swarm, web):
    swarm.membership.more = asyncio.Event()
    response = await swarm.client.get("http://docker/services/web/logs?stdout=1&follow=1")
    assert not swarm.membership.unwanted.is_set()
    response.close()
    async with asyncio.timeout(10):
        await swarm.membership.unwanted.wait()
