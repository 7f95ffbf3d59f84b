"""kill -9 of a whole node at random moments of join, promote, demote and leave: it always ends well.

Each daemon is a process of its own, with its etcd as a child that dies with it. Real etcd and TLS on loopback; only the
Docker Engine is a double. ``SWARMD_KILLS`` sets the number of kills, ``SWARMD_SEED`` the random moments.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from engine_double import EngineDouble
from etcd_members import free_address

KILLS = int(os.environ.get("SWARMD_KILLS", "24"))
SEED = int(os.environ.get("SWARMD_SEED", "7"))
LONGEST = 0.7
"""Seconds after which the kill comes at last; a join takes 0.1 to 0.4 s."""
DEADLINE = 60.0

CONFIGURATION = """
state-folder = "{folder}/s"
engine-socket = "{folder}/e.sock"
api-socket = "{folder}/r/api.sock"
[etcd]
binary = "{etcd}"
etcdutl = "{etcdutl}"
unit = ""
peer-port = {peer_port}
heartbeat-interval = 100
election-timeout = 1000
"""


@dataclass
class Daemon:
    folder: Path
    address: str
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "swarmd", "--config", str(self.folder / "swarmd.toml")), stdout=log, stderr=log
            )
        await until(self.answers, f"{self.folder.name} answers")

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()

    async def answers(self) -> bool:
        return (await self.call("GET", "/info"))[0] == 200

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON; status 0 where the daemon went away."""
        connector = aiohttp.UnixConnector(str(self.folder / "r" / "api.sock"))
        timeout = aiohttp.ClientTimeout(total=30)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as client,
                client.request(method, f"http://swarmd{path}", json=body) as response,
            ):
                is_json = "json" in response.content_type
                return response.status, await response.json() if is_json else await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0, None

    async def swarm(self) -> dict[str, Any]:
        status, info = await self.call("GET", "/info")
        return info["Swarm"] if status == 200 else {}

    async def nodes(self) -> list[dict[str, Any]]:
        status, nodes = await self.call("GET", "/nodes")
        return nodes if status == 200 else []

    async def join(self, manager: Daemon, role: str) -> None:
        status, swarm = await manager.call("GET", "/swarm")
        assert status == 200, swarm
        tokens = swarm["JoinTokens"]
        addresses = {"ListenAddr": self.address, "AdvertiseAddr": self.address, "RemoteAddrs": [manager.address]}
        await self.call("POST", "/swarm/join", {**addresses, "JoinToken": tokens[role]})

    async def give_role(self, node_id: str, role: str) -> None:
        status, node = await self.call("GET", f"/nodes/{node_id}")
        if status == 200 and node["Spec"]["Role"] != role:
            version = node["Version"]["Index"]
            await self.call("POST", f"/nodes/{node_id}/update?version={version}", {**node["Spec"], "Role": role})


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE):
            while not await condition():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not so after {DEADLINE:.0f} s: {what}") from None


@pytest.fixture
async def daemons(etcd: Path, members_folder: Path) -> AsyncIterator[list[Daemon]]:
    """Three managers of one cluster."""
    found: list[Daemon] = []
    async with contextlib.AsyncExitStack() as stack:
        for name in ("one", "two", "three"):
            folder = members_folder / name
            folder.mkdir()
            await stack.enter_async_context(EngineDouble(name).serving(folder / "e.sock"))
            peer_port = free_address().rpartition(":")[2]
            text = CONFIGURATION.format(
                folder=folder, etcd=etcd, etcdutl=etcd.with_name("etcdutl"), peer_port=peer_port
            )
            (folder / "swarmd.toml").write_text(text)
            daemon = Daemon(folder, free_address())
            stack.push_async_callback(daemon.kill)
            await daemon.start()
            found.append(daemon)
        first, *others = found
        await first.call("POST", "/swarm/init", {"ListenAddr": first.address, "AdvertiseAddr": first.address})
        for other in others:
            await other.join(first, "Manager")
        yield found


async def change(victim: Daemon, other: Daemon, what: str) -> None:
    node_id = (await victim.swarm()).get("NodeID", "")
    match what:
        case "demote":
            await other.give_role(node_id, "worker")
        case "promote":
            await other.give_role(node_id, "worker")
            await until(lambda: _is(victim, "ControlAvailable", False), "it is a worker")
            await other.give_role(node_id, "manager")
        case "leave":
            await victim.call("POST", "/swarm/leave?force=1")
        case "join":
            await victim.call("POST", "/swarm/leave?force=1")
            await victim.join(other, "Manager")


async def _is(daemon: Daemon, field: str, value: object) -> bool:
    return (await daemon.swarm()).get(field) == value


async def made_whole(victim: Daemon, other: Daemon) -> None:
    """Whatever it was in the middle of, its user gets it back as a manager; what it was before is forgotten."""
    if (await victim.swarm())["LocalNodeState"] == "inactive":
        await victim.join(other, "Manager")
    await until(lambda: _is(victim, "LocalNodeState", "active"), "it takes part")
    node_id = (await victim.swarm())["NodeID"]
    for node in await other.nodes():
        if node["ManagerStatus" if "ManagerStatus" in node else "Status"].get("Reachability") == "reachable":
            continue
        if node["ID"] != node_id:
            await other.give_role(node["ID"], "worker")
            await until(lambda gone=node["ID"]: _forgotten(other, gone), "the node that it was is forgotten")
    await other.give_role(node_id, "manager")
    await until(lambda: _whole(victim), "it sees three managers that are ready and reachable")
    await until(lambda: _whole(other), "another sees three managers that are ready and reachable")


async def _forgotten(other: Daemon, node_id: str) -> bool:
    return (await other.call("DELETE", f"/nodes/{node_id}?force=1"))[0] in {200, 404}


async def _whole(daemon: Daemon) -> bool:
    nodes = await daemon.nodes()
    return len(nodes) == 3 and all(
        node["Status"]["State"] == "ready" and node.get("ManagerStatus", {}).get("Reachability") == "reachable"
        for node in nodes
    )


@pytest.mark.slow
async def test_kills(daemons: list[Daemon]):
    chance = random.Random(SEED)
    await until(lambda: _whole(daemons[0]), "three managers are ready")
    for number in range(KILLS):
        victim, other = chance.sample(daemons, 2)
        what = ("join", "promote", "demote", "leave")[number % 4]
        after = chance.uniform(0, LONGEST)
        print(f"{number}: {what} of {victim.folder.name}, killed after {after:.2f} s")
        async with asyncio.TaskGroup() as group:
            changing = group.create_task(change(victim, other, what))
            await asyncio.sleep(after)
            await victim.kill()
            changing.cancel()
        await victim.start()
        await made_whole(victim, other)
        status, swarm = await other.call("GET", "/swarm")
        assert status == 200
        spec = {**swarm["Spec"], "Labels": {"kill": str(number)}}
        status, words = await other.call("POST", f"/swarm/update?version={swarm['Version']['Index']}", spec)
        assert status == 200, words
        assert (await victim.call("GET", "/swarm"))[1]["Spec"]["Labels"] == {"kill": str(number)}
