"""The front as a process: its sockets, its end, what it says, and what it does not load."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from front_peers import DEADLINE, Peer, Server, answer, connect

from swarmd.front import server
from swarmd.front.__main__ import CannotListen, listen

AS_SYSTEMD_DOES = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
FRONT = (sys.executable, "-m", "swarmd.front")


async def test_a_stop_lets_a_running_request_end_and_closes_idle_connections(rig) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def handle(peer: Peer) -> None:
        await peer.read_head()
        asked.set()
        await may_answer.wait()
        await peer.send(answer(b"done"))

    rig.engine_does(handle)
    idle, busy = await rig.client(), await rig.client()
    await idle.ask("GET", "/nodes")
    await busy.send(b"POST /containers/a/stop HTTP/1.1\r\n\r\n")
    await asyncio.wait_for(asked.wait(), DEADLINE)
    rig.stopped.set()
    assert await idle.read_to_end() == b""
    may_answer.set()
    assert (await busy.read_answer())[1] == b"done"
    assert await busy.read_to_end() == b""
    await asyncio.wait_for(rig.run, DEADLINE)


async def test_a_stop_cuts_streams_after_the_grace(rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE", 0.05)

    async def handle(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await peer.read_to_end()

    rig.engine_does(handle)
    client = await rig.client()
    await client.send(b"GET /containers/a/logs?follow=1 HTTP/1.1\r\n\r\n")
    await client.read_head()
    rig.stopped.set()
    assert await client.read_to_end() == b""
    await asyncio.wait_for(rig.run, DEADLINE)


async def test_a_client_that_comes_during_a_stop_waits_in_the_sockets_queue(rig) -> None:
    await (await rig.client()).ask("GET", "/nodes")
    rig.stopped.set()
    await asyncio.wait_for(rig.run, DEADLINE)
    late = await rig.client()  # connected, as the listening socket is systemd's
    await late.send(b"GET /nodes HTTP/1.1\r\n\r\n")


async def test_an_error_of_the_fronts_own_ends_one_connection_only(rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    other, client = await rig.client(), await rig.client()
    with monkeypatch.context() as patched:
        patched.setattr("swarmd.front.connection.rule_for", broken)
        await client.send(b"GET /nodes HTTP/1.1\r\n\r\n")
        assert await client.read_to_end() == b""
    assert (await other.ask("GET", "/nodes"))[0] == 200


async def test_out_of_file_descriptors_clients_wait_until_there_are_some(
    rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, eventually
) -> None:
    monkeypatch.setattr(server, "ACCEPT_PAUSE", 0.02)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare: list[int] = []
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.setblocking(False)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (128, limits[1]))
            with contextlib.suppress(OSError):
                while True:
                    spare.append(os.dup(0))
            waiting.connect(str(rig.path))
            await eventually(lambda: "no client is accepted" in caplog.text)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for number in spare:
                os.close(number)
        waiting.send(b"GET /nodes HTTP/1.1\r\n\r\n")
        answered = asyncio.get_running_loop().sock_recv(waiting, 100)
        assert (await asyncio.wait_for(answered, DEADLINE)).startswith(b"HTTP/1.1 200 OK")


@pytest.fixture
async def folder(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """With an engine in it, which is in no swarm."""
    folder = tmp_path_factory.mktemp("f")
    engine = Server("engine", folder / "engine")
    await engine.start()
    yield folder
    await engine.stop()
    assert not engine.failures


def options(folder: Path) -> list[str]:
    return ["--swarmd", str(folder / "swarmd"), "--engine", str(folder / "engine")]


async def test_it_serves_a_socket_of_systemds_and_leaves_it_to_systemd(folder: Path) -> None:
    with listen(str(folder / "docker")) as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", AS_SYSTEMD_DOES, str(listener.fileno()), *FRONT, *options(folder),
            env={**os.environ, "LISTEN_FDS": "1", "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "10000000"},
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            loop = asyncio.get_running_loop()
            told = [await asyncio.wait_for(loop.sock_recv(manager, 100), DEADLINE) for _ in range(2)]
            assert told == [b"READY=1", b"WATCHDOG=1"]
            client = await connect(folder / "docker")
            assert (await client.ask("GET", "/_ping"))[1]["by"] == "engine"
            process.send_signal(signal.SIGTERM)
            assert await client.read_to_end() == b""
            await client.close()
            _, log = await asyncio.wait_for(process.communicate(), DEADLINE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        assert process.returncode == 0
        assert b"serves " in log
        assert log.count(b"\n") == 2  # that, and that swarmd does not answer: no line per request
        assert (folder / "docker").is_socket()


async def test_without_a_socket_it_says_how_to_get_one(folder: Path) -> None:
    done = await asyncio.to_thread(
        subprocess.run, [*FRONT, *options(folder)], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "no socket to listen on: start swarmd-front.socket, or name one by --listen PATH\n"


async def check(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [*FRONT, "--check", "--listen", str(folder / "docker"), *options(folder)]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=DEADLINE, check=False
    )


async def test_check_says_what_it_would_serve(folder: Path) -> None:
    done = await check(folder)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"listens on {folder}/docker",
        f"swarmd at {folder}/swarmd: No such file or directory",
        f"Docker Engine at {folder}/engine: answers, and is in no swarm of its own",
    ]
    assert not (folder / "docker").exists()


async def test_check_fails_beside_an_engine_in_swarm_mode(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("f")
    engine = Server("engine", folder / "engine")

    async def handle(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b'HTTP/1.0 200 OK\r\n\r\n{"Swarm": {"LocalNodeState": "locked"}}')

    engine.handler = handle
    await engine.start()
    try:
        done = await check(folder)
    finally:
        await engine.stop()
    assert done.returncode == 1
    assert "is in swarm mode itself (locked)" in done.stdout


def test_a_socket_of_its_own_is_for_the_group_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("f") / "docker"
    with listen(str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_socket_that_a_dead_process_left_is_replaced_one_in_use_is_not(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = str(tmp_path_factory.mktemp("f") / "docker")
    listen(path).close()
    with listen(path), pytest.raises(CannotListen, match="somebody listens on"):
        listen(path)


def test_it_loads_nothing_big() -> None:
    """At about 25 MB it can stay on every node; each of these is 5 to 30 MB more."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, swarmd.front.__main__; print(*sys.modules)"],
        capture_output=True, text=True, timeout=DEADLINE, check=True,
    ).stdout.split()  # fmt: skip
    assert not {"aiohttp", "grpc", "msgspec", "cryptography", "structlog", "pydantic"} & set(loaded)
    own = {name for name in loaded if name.startswith("swarmd.")}
    assert {name for name in own if not name.startswith("swarmd.front")} == {"swarmd.systemd", "swarmd.task_group"}
