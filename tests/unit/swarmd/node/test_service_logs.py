"""Logs of services, from the engines of all nodes to one manager. Real daemons, etcd, TLS; the engines are doubles."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

import aiohttp
import msgspec
import pytest
from aiohttp import web
from logging_cluster import ALL, FOLLOWED, NOW, Cluster, form
from nodes import DEADLINE, Nodes, RunningNode
from test_port import context_of

from swarmd import wire
from swarmd.agent.logs import GOODBYE
from swarmd.api import create_application
from swarmd.engine.container import container_name
from swarmd.errors import NotInSwarm, NotManager
from swarmd.membership import LogSelector, LogStream
from swarmd.model import (
    NodeRole,
    NodeState,
    TaskState,
    new_id,
)
from swarmd.node import log_subscription, log_telling
from swarmd.store import Kind, Put
from swarmd.wire import LogOptions


@pytest.fixture
async def cluster(nodes: Nodes) -> Cluster:
    """A manager and a worker."""
    return await form(nodes, NodeRole.WORKER)


async def eventually(condition, what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"it has not come to be that {what}") from None


async def test_lines_of_all_tasks_come_to_whichever_manager_is_asked(nodes: Nodes):
    cluster = await form(nodes, NodeRole.MANAGER, NodeRole.WORKER)
    service = await cluster.create(3)
    tasks = await cluster.tasks(service, 3)
    assert len({task.node_id for task in tasks}) == 3
    for task in tasks:
        cluster.say(task, f"out {task.slot}\n".encode())
        cluster.say(task, f"err {task.slot}\n".encode(), stream=2, details="a=b+c")
    first, second, worker = cluster.nodes
    for manager in (first, second):
        cluster.asked = manager
        await manager.until(lambda seen: len(seen.tasks) == 3, "it knows the tasks")
        pieces = await cluster.read(service)
        assert {(one.task_id, one.node_id, one.service_id, one.stream, one.text) for one in pieces} == {
            (task.id, task.node_id, service.service_id, stream, f"{word} {task.slot}\n".encode())
            for task in tasks
            for stream, word in ((LogStream.STDOUT, "out"), (LogStream.STDERR, "err"))
        }
        assert {tuple(one.details.items()) for one in pieces if one.stream is LogStream.STDERR} == {(("a", "b c"),)}
        (only,) = {one.task_id for one in await cluster.read(LogSelector(task_id=tasks[1].id))}
        assert only == tasks[1].id
    with pytest.raises(NotManager):
        worker.lifecycle.logs(service, ALL)


async def test_logs_in_no_swarm(nodes: Nodes):
    alone = await nodes.node("alone")
    with pytest.raises(NotInSwarm):
        alone.lifecycle.logs(LogSelector(service_id="s"), ALL)


async def test_which_lines_are_wanted_is_said_to_every_engine(cluster: Cluster):
    service = await cluster.create(2)
    tasks = await cluster.tasks(service, 2)
    for task in tasks:
        for minute in range(5):
            cluster.say(task, f"{task.slot}.{minute}\n".encode(), moment=NOW + timedelta(minutes=minute))
        cluster.say(task, b"bad\n", stream=2, moment=NOW)

    async def texts(**options) -> list[bytes]:
        return sorted(piece.text for piece in await cluster.read(service, LogOptions(**options)))

    assert await texts(stderr=False, tail=1) == [b"1.4\n", b"2.4\n"]
    assert await texts(stdout=False) == [b"bad\n", b"bad\n"]
    since = f"{int(NOW.timestamp()) + 180}.000000000"
    assert await texts(since=since) == [b"1.3\n", b"1.4\n", b"2.3\n", b"2.4\n"]
    assert await texts(tail=0) == []


async def test_lines_are_never_torn(cluster: Cluster):
    """Thousands of lines from two nodes at once, some of them longer than a frame."""
    service = await cluster.create(2)
    tasks = await cluster.tasks(service, 2)
    for task in tasks:
        for number in range(3000):
            cluster.say(task, f"{task.slot} {number}\n".encode())
            if number % 1000 == 0:
                for _ in range(40):
                    cluster.say(task, b"x" * (16 << 10))
                cluster.say(task, b" end\n")
    pieces = await cluster.read(service)
    for task in tasks:
        texts = [piece.text for piece in pieces if piece.task_id == task.id]
        long = [text for text in texts if text.startswith(b"x")]
        assert long == [b"x" * (40 << 14) + b" end\n"] * 3
        assert [text for text in texts if not text.startswith(b"x")] == [
            f"{task.slot} {number}\n".encode() for number in range(3000)
        ]


async def test_a_terminals_lines(cluster: Cluster):
    service = await cluster.create(1, tty=True)
    (task,) = await cluster.tasks(service, 1)
    for text in (b"one\r\n", b"a" * (16 << 10), b"b\r\n"):
        cluster.say(task, text)
    assert [piece.text for piece in await cluster.read(service)] == [b"one\r\n", b"a" * (16 << 10) + b"b\r\n"]


async def test_tasks_that_have_ended_have_logs_and_those_without_a_node_have_none(cluster: Cluster):
    service = await cluster.create(1)
    (task,) = await cluster.tasks(service, 1)
    cluster.say(task, b"last words\n")
    cluster.end(task)
    await cluster.tasks(service, 1, TaskState.COMPLETE)
    assert b"last words\n" in {piece.text for piece in await cluster.read(service)}
    nowhere = await cluster.create(1, constraints=("node.labels.absent==yes",))
    (waiting,) = await cluster.tasks(nowhere, 1, TaskState.PENDING)
    assert await cluster.read(nowhere) == []
    reason = f"task {waiting.id} has not been scheduled"
    assert await cluster.read_what_is_there(LogSelector(task_id=waiting.id)) == ([], reason)


async def test_one_dead_node_does_not_make_the_logs_of_others_useless(
    nodes: Nodes, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_telling, "PATIENCE", 0.5)
    service = await cluster.create(2)
    tasks = await cluster.tasks(service, 2)
    for task in tasks:
        cluster.say(task, f"{task.slot}\n".encode())
    manager, worker = cluster.nodes
    (there,) = [task for task in tasks if task.node_id == manager.id]
    await nodes.stop(worker)
    pieces, reason = await cluster.read_what_is_there(service)
    assert [piece.task_id for piece in pieces] == [there.id]
    assert reason == f"node {worker.id} is not available"


async def test_what_an_engine_refuses_is_said(cluster: Cluster):
    service = await cluster.create(1)
    (task,) = await cluster.tasks(service, 1)
    engine = cluster.node_of(task).engine
    engine.refuse["logs"] = (500, "configured logging driver does not support reading")
    words = f"task {task.id}: configured logging driver does not support reading"
    assert await cluster.read_what_is_there(service) == ([], words)
    engine.refuse["logs"] = (404, "No such container")
    assert await cluster.read(service) == []


async def test_a_log_that_breaks_off_is_incomplete(cluster: Cluster):
    service = await cluster.create(1)
    (task,) = await cluster.tasks(service, 1)
    for _ in range(2000):
        cluster.say(task, b"x" * (16 << 10) + b"\n")
    reading = asyncio.create_task(cluster.read_what_is_there(service))
    engine = cluster.node_of(task).engine
    await eventually(lambda: engine.reading, "the log is read")
    engine.cut_logs()
    pieces, reason = await reading
    assert len(pieces) < 2000
    assert all(piece.text == b"x" * (16 << 10) + b"\n" for piece in pieces)
    assert reason.startswith(f"task {task.id}: the Docker Engine went away")


async def test_a_service_is_followed_through_its_tasks_until_it_is_removed(cluster: Cluster):
    service = await cluster.create(1)
    (task,) = await cluster.tasks(service, 1)
    cluster.say(task, b"before\n")
    async with cluster.following(service, LogOptions(follow=True, tail=0)) as followed:
        waiting = asyncio.create_task(followed.line())
        await eventually(lambda: cluster.node_of(task).engine.reading, "the log is read")
        cluster.say(task, b"one\n")
        assert await waiting == b"one\n"
        await cluster.scale(service, 2)
        _, other = await cluster.tasks(service, 2)
        cluster.say(other, b"first of another\n")
        assert await followed.line() == b"first of another\n"
        cluster.say(task, b"two\n")
        assert await followed.line() == b"two\n"
        await cluster.remove(service)
        await followed.ends()


async def test_a_task_is_followed_until_it_ends(cluster: Cluster):
    service = await cluster.create(1)
    (task,) = await cluster.tasks(service, 1)
    async with cluster.following(LogSelector(task_id=task.id)) as followed:
        cluster.say(task, b"one\n")
        assert await followed.line() == b"one\n"
        cluster.say(task, b"last\n")
        cluster.end(task)
        assert await followed.line() == b"last\n"
        await followed.ends()


async def test_a_log_that_broke_off_goes_on_without_a_line_twice_or_missing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_subscription, "FIRST_PAUSE", 0.05)
    service = await cluster.create(2)
    tasks = await cluster.tasks(service, 2)
    for task in tasks:
        cluster.say(task, f"{task.slot} before\n".encode())
    async with cluster.following(service) as followed:
        assert await followed.lines(2) == {b"1 before\n", b"2 before\n"}
        for node in cluster.nodes:
            node.engine.cut_logs()
        for task in tasks:
            cluster.say(task, f"{task.slot} after\n".encode())
        assert await followed.lines(2) == {b"1 after\n", b"2 after\n"}
        for task in tasks:
            cluster.say(task, f"{task.slot} later\n".encode())
        assert await followed.lines(2) == {b"1 later\n", b"2 later\n"}


async def test_a_node_that_was_away_is_followed_again(nodes: Nodes, cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_subscription, "FIRST_PAUSE", 0.05)
    service = await cluster.create(2)
    tasks = await cluster.tasks(service, 2)
    _, worker = cluster.nodes
    (away,) = [task for task in tasks if task.node_id == worker.id]
    async with cluster.following(service) as followed:
        cluster.say(away, b"one\n")
        assert await followed.line() == b"one\n"
        await nodes.stop(worker)
        cluster.say(away, b"two\n")
        await nodes.start(worker)
        assert await followed.line() == b"two\n"


async def test_a_change_of_leader_cuts_nothing_that_flows(nodes: Nodes):
    cluster = await form(nodes, NodeRole.MANAGER, NodeRole.MANAGER)
    service = await cluster.create(3)
    tasks = await cluster.tasks(service, 3)
    leader = await leading(cluster.nodes)
    first, second = [node for node in cluster.nodes if node is not leader]
    cluster.asked = first
    (watched,) = [task for task in tasks if task.node_id == second.id]
    async with cluster.following(service) as followed:
        cluster.say(watched, b"one\n")
        assert await followed.line() == b"one\n"
        reading = second.engine.calls.count(f"GET /containers/{container_name(watched)}/logs")
        await nodes.stop(leader)
        cluster.say(watched, b"two\n")
        assert await followed.line() == b"two\n"
        await leading([first, second])
        cluster.say(watched, b"three\n")
        assert await followed.line() == b"three\n"
        assert second.engine.calls.count(f"GET /containers/{container_name(watched)}/logs") == reading == 1


async def leading(nodes: list[RunningNode]) -> RunningNode:
    async with asyncio.timeout(DEADLINE):
        while True:
            for node in nodes:
                manager = node.lifecycle.manager
                if manager is not None and (found := manager.leader()) is not None:
                    leaders = [one for one in nodes if one.id == found.node_id]
                    if leaders:
                        return leaders[0]
            await asyncio.sleep(0.05)


async def read_until_full(cluster: Cluster) -> int:
    """Wait until nothing more is read because nobody takes it; the entries that were."""
    before = -1
    while before != (before := sum(node.engine.read for node in cluster.nodes)):
        await asyncio.sleep(0.5)
    return before


async def test_a_reader_that_takes_its_time_fills_no_memory(cluster: Cluster):
    service = await cluster.create(2)
    tasks = await cluster.tasks(service, 2)
    for task in tasks:
        for _ in range(2000):
            cluster.say(task, b"x" * (16 << 10) + b"\n")

    async with asyncio.timeout(2 * DEADLINE), aclosing(cluster.asked.lifecycle.logs(service, ALL)) as coming:
        count = len(await anext(coming))
        # What waits: a frame here, a frame of each node, and the buffers of the sockets between, some MiB each.
        assert await read_until_full(cluster) < 2000
        async for some in coming:
            count += len(some)
    assert count == 4000


async def test_a_node_stops_though_a_reader_takes_its_time(nodes: Nodes, cluster: Cluster):
    _, worker = cluster.nodes
    service = await cluster.create(1, constraints=("node.role==worker",))
    (task,) = await cluster.tasks(service, 1)
    for _ in range(2000):
        cluster.say(task, b"x" * (16 << 10) + b"\n")
    async with asyncio.timeout(DEADLINE), aclosing(cluster.asked.lifecycle.logs(service, ALL)) as coming:
        await anext(coming)
        await read_until_full(cluster)
        async with asyncio.timeout(3 * GOODBYE):
            await nodes.stop(worker)


async def test_a_node_that_is_told_and_does_not_come_is_not_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_telling, "PATIENCE", 0.2)
    service = await cluster.create(2)
    tasks = await cluster.tasks(service, 2)
    for task in tasks:
        cluster.say(task, b"one\n")
    manager, worker = cluster.nodes
    monkeypatch.setattr(worker.lifecycle.current.agent.logs, "_wanted", asyncio.Queue())  # nobody takes from it
    pieces, reason = await cluster.read_what_is_there(service)
    assert [piece.node_id for piece in pieces] == [manager.id]
    assert reason == f"node {worker.id} disconnected unexpectedly"


async def test_a_host_that_was_switched_off_closes_no_connection(cluster: Cluster):
    _, worker = cluster.nodes
    service = await cluster.create(1, constraints=("node.role==worker",))
    (task,) = await cluster.tasks(service, 1)
    worker.engine.refuse["stop"] = (500, "it runs on, and its log stays open")
    reading = asyncio.create_task(cluster.read_what_is_there(LogSelector(task_id=task.id), FOLLOWED))
    await eventually(lambda: worker.engine.reading, "the log is read")
    store = cluster.asked.lifecycle.store()
    down = msgspec.structs.replace(store.snapshot().liveness[worker.id].value, state=NodeState.DOWN)
    await store.commit([Put(Kind.LIVENESS, worker.id, down)])
    assert await reading == ([], f"node {worker.id} is not available")


@pytest.mark.skipif(shutil.which("docker") is None, reason="the docker CLI is not on this machine")
async def test_the_stock_cli_shows_lines_of_all_nodes(cluster: Cluster):
    manager, worker = cluster.nodes
    socket = manager.folder / "api.sock"
    runner = web.AppRunner(create_application(manager.lifecycle, manager.folder / "e.sock"), shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    service = await cluster.create(2)
    tasks = await cluster.tasks(service, 2)
    for task in tasks:
        cluster.say(task, f"hello from {task.slot}\n".encode())
    name = tasks[0].service_name

    @asynccontextmanager
    async def docker(line: str) -> AsyncIterator[asyncio.subprocess.Process]:
        words = ("docker", "-H", f"unix://{socket}", *line.split())
        environment = {"PATH": os.environ["PATH"], "HOME": str(manager.folder)}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe, env=environment)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    expected = sorted(
        f"{name}.{task.slot}.{task.id[:12]}@{cluster.node_of(task).name}    | hello from {task.slot}" for task in tasks
    )
    async with docker(f"service logs {name}") as process:
        output, errors = await asyncio.wait_for(process.communicate(), DEADLINE)
        assert (sorted(output.decode().splitlines()), errors, process.returncode) == (expected, b"", 0)
    async with docker(f"service logs --follow --raw {name}") as process:
        lines = {await asyncio.wait_for(process.stdout.readline(), DEADLINE) for _ in tasks}
        assert lines == {b"hello from 1\n", b"hello from 2\n"}
        (there,) = [task for task in tasks if task.node_id == worker.id]
        cluster.say(there, b"and again\n")
        assert await asyncio.wait_for(process.stdout.readline(), DEADLINE) == b"and again\n"
        await cluster.remove(service)
        assert await asyncio.wait_for(process.wait(), DEADLINE) == 0
    await runner.cleanup()


async def test_who_has_enough_is_brought_nothing_more(cluster: Cluster):
    service = await cluster.create(2)
    tasks = await cluster.tasks(service, 2)
    for task in tasks:
        cluster.say(task, b"one\n")
    async with cluster.following(service) as followed:
        await followed.lines(2)
        assert [len(node.engine.reading) for node in cluster.nodes] == [1, 1]
    await eventually(lambda: not any(node.engine.reading for node in cluster.nodes), "nobody reads")


async def test_a_manager_that_stops_says_so(nodes: Nodes, cluster: Cluster):
    service = await cluster.create(1)
    (task,) = await cluster.tasks(service, 1)
    cluster.say(task, b"one\n")
    reading = asyncio.create_task(cluster.read_what_is_there(service, FOLLOWED))
    await eventually(lambda: cluster.node_of(task).engine.reading, "the log is read")
    await nodes.stop(cluster.asked)
    assert (await reading)[1] == "the manager that brings them together has stopped"


async def test_a_node_brings_only_what_it_was_asked_for(cluster: Cluster):
    """Others' deliveries are not there for it, and in its own it speaks of its own tasks."""
    manager, worker = cluster.nodes
    service = await cluster.create(1, constraints=(f"node.hostname=={worker.name}",))
    await cluster.tasks(service, 1)
    broker = manager.lifecycle.manager.log_broker

    async def brought(by: RunningNode, delivery: str, *messages: wire.FromNode) -> int:
        """The status of the handshake, or the code with which the manager closes."""
        url = f"wss://{manager.address}{wire.LOGS_PATH}/{delivery}"
        async with asyncio.timeout(DEADLINE), aiohttp.ClientSession() as client:
            try:
                socket = await client.ws_connect(url, ssl=context_of(by))
            except aiohttp.WSServerHandshakeError as error:
                return error.status
            for message in messages:
                await socket.send_bytes(wire.encode_log(message))
            await socket.receive()
            return socket.close_code

    asked: list[str] = []

    async def hear(request) -> object:
        asked.extend(one.wanted.delivery for one in request.nodes)
        return log_telling.protocol.LogsUntold([])

    broker._ask_leader = hear
    line = wire.LogLine(1, "2026-01-02T03:04:05.000000006Z", b"forged\n")
    reading = asyncio.create_task(cluster.read_what_is_there(service))
    await eventually(lambda: asked, "the leader is asked")
    assert await brought(manager, asked[0]) == 404
    assert await brought(worker, new_id()) == 404
    assert await brought(worker, asked[0], wire.LogLines(new_id(), [line])) == 4006
    assert await reading == ([], f"node {worker.id} disconnected unexpectedly")
