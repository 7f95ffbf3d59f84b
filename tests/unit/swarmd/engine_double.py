"""A Docker engine without containers: a real HTTP server on a unix socket that keeps states as the engine does.

What Docker itself does is tried in tests/lab/swarmd; here it is what no real engine does on demand.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web


class EngineDouble:
    def __init__(self, hostname: str = "host") -> None:
        self._hostname = hostname
        self.images = {"busybox:latest"}
        self.containers: dict[str, dict[str, Any]] = {}
        self.registry: set[str] = set()
        self.private: dict[str, str] = {}
        """Image -> the X-Registry-Auth with which alone the registry gives it."""
        self.pulls: list[str] = []
        self.given: list[str] = []
        """The X-Registry-Auth of each of them."""
        self.breaking: set[str] = set()
        """Images whose pulls begin well."""
        self.calls: list[str] = []
        self.bodies: dict[str, dict[str, Any]] = {}
        """What containers were to be like, by name."""
        self.refuse: dict[str, tuple[int, str]] = {}
        """A call's last word -> what it is answered."""
        self.hold_pulls: asyncio.Event | None = None
        self._listeners: set[asyncio.Queue[bytes | None]] = set()
        self._said: defaultdict[str, list[Entry]] = defaultdict(list)
        self._readers: set[Reader] = set()
        self.read = 0
        """Entries of logs that readers have taken, as far as their sockets have room."""

    def say(self, name: str, text: bytes, *, stream: int = 1, moment: datetime | None = None, details: str = "") -> str:
        """An entry in its log; returns the moment as the engine writes it. Without a newline it goes on in the next."""
        when = f"{(moment or datetime.now(UTC)).strftime('%Y-%m-%dT%H:%M:%S.%f')}{len(self._said[name]) % 1000:03}Z"
        self._said[name].append(Entry(stream, when, details, text))
        self._wake_readers()
        return when

    def cut_logs(self) -> None:
        """Those who read logs lose the connection in the midst of it."""
        for reader in self._readers:
            reader.is_cut = True
        self._wake_readers()

    @property
    def reading(self) -> list[dict[str, str]]:
        """The queries of those who read a log now."""
        return [reader.query for reader in self._readers if reader.is_there]

    def _wake_readers(self) -> None:
        for reader in self._readers:
            reader.wake.set()

    def drop_streams(self) -> None:
        for listener in self._listeners:
            listener.put_nowait(None)

    def end(self, name: str, code: int) -> None:
        """Its process exits."""
        self.end_unheard(name, code)
        self._tell("die", name, exitCode=str(code))
        self._wake_readers()

    def end_unheard(self, name: str, code: int) -> None:
        self.containers[name]["State"].update(Status="exited", ExitCode=code, Pid=0)
        self.containers[name]["NetworkSettings"] = {"Ports": {}}

    def rm_force(self, name: str) -> None:
        if self.containers[name]["State"]["Status"] == "running":
            self.end(name, 137)
        self._tell("destroy", name)
        del self.containers[name]

    def health(self, name: str, status: str) -> None:
        self.containers[name]["State"]["Health"] = {"Status": status}
        self._tell(f"health_status: {status}", name)

    def status(self, name: str) -> str:
        return self.containers[name]["State"]["Status"] if name in self.containers else "absent"

    def _tell(self, action: str, name: str, **attributes: str) -> None:
        labels = self.containers[name]["Config"]["Labels"]
        event = {"Type": "container", "Action": action, "Actor": {"ID": name, "Attributes": {**labels, **attributes}}}
        for listener in self._listeners:
            listener.put_nowait(json.dumps(event).encode() + b"\n")

    @asynccontextmanager
    async def serving(self, socket: Path) -> AsyncIterator[None]:
        application = web.Application(middlewares=[self._unversioned])
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0)
        await runner.setup()
        await web.UnixSite(runner, str(socket)).start()
        try:
            yield
        finally:
            self.drop_streams()
            self.cut_logs()
            if self.hold_pulls:
                self.hold_pulls.set()
            await runner.cleanup()
            socket.unlink(missing_ok=True)

    @web.middleware
    async def _unversioned(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            return web.json_response({"message": refused.message}, status=refused.status)

    async def _answer(self, request: web.Request) -> web.StreamResponse:  # noqa: PLR0911, PLR0912 (a table)
        path = re.sub(r"^/v1\.\d+", "", request.path)
        self.calls.append(f"{request.method} {path}")
        word = path.rpartition("/")[2]
        if word in self.refuse:
            raise Refused(*self.refuse[word])
        match path.split("/")[1:]:
            case ["version"]:
                return web.json_response({"ApiVersion": "1.45"})
            case ["info"]:
                return web.json_response(
                    {
                        "Name": self._hostname,
                        "NCPU": 2,
                        "MemTotal": 4 << 30,
                        "OSType": "linux",
                        "Architecture": "x86_64",
                        "ServerVersion": "26.1.5",
                    }
                )
            case ["events"]:
                return await self._events(request)
            case ["images", "create"]:
                return await self._pull(request)
            case ["images", name, "json"]:
                return web.json_response({}) if name in self.images else _absent(f"No such image: {name}")
            case ["containers", "json"]:
                return web.json_response(
                    [
                        {"Id": name, "Labels": each["Config"]["Labels"], "State": each["State"]["Status"]}
                        for name, each in self.containers.items()
                    ]
                )
            case ["containers", "create"]:
                return await self._create(request)
            case ["containers", name, "json"]:
                return web.json_response(self._container(name))
            case ["containers", name, "start"]:
                self._container(name)["State"].update(Status="running", Pid=4711)
                self._container(name)["NetworkSettings"] = {"Ports": self._bind(name)}
                self._tell("start", name)
                return web.Response(status=204)
            case ["containers", name, "stop"]:
                if self._container(name)["State"]["Status"] != "running":
                    return web.Response(status=304)
                self.end(name, 143)
                return web.Response(status=204)
            case ["containers", name, "logs"]:
                return await self._logs(request, name)
            case ["containers", name] if request.method == "DELETE":
                self._container(name)
                self.rm_force(name)
                return web.Response(status=204)
        return _absent(f"page not found: {path}")

    def _container(self, name: str) -> dict[str, Any]:
        if name not in self.containers:
            raise Refused(404, f"No such container: {name}")
        return self.containers[name]

    def _bind(self, name: str) -> dict[str, Any]:
        """On IPv4 and IPv6, any that is free as 32768; and one that is exposed alone."""
        bound: dict[str, Any] = {"9/tcp": None}
        for port, bindings in self.bodies[name]["HostConfig"]["PortBindings"].items():
            free = [each.get("HostPort", "32768") for each in bindings]
            bound[port] = [{"HostIp": address, "HostPort": each} for each in free for address in ("0.0.0.0", "::")]  # noqa: S104
        return bound

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body, name = await request.json(), request.query["name"]
        if body["Image"] not in self.images:
            raise Refused(404, f"No such image: {body['Image']}")
        if name in self.containers:
            raise Refused(409, f'Conflict. The container name "/{name}" is already in use')
        self.bodies[name] = body
        self.containers[name] = {
            "Id": name,
            "Name": f"/{name}",
            "State": {"Status": "created", "Pid": 0, "ExitCode": 0},
            "Config": {"Labels": body["Labels"], "Healthcheck": None, "Tty": body.get("Tty", False)},
        }
        if "HEALTH=1" in body["Env"]:
            self.containers[name]["Config"]["Healthcheck"] = {"Test": ["CMD", "true"]}
            self.containers[name]["State"]["Health"] = {"Status": "starting"}
        return web.json_response({"Id": name, "Warnings": []}, status=201)

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        name = request.query["fromImage"]
        self.pulls.append(name)
        self.given.append(request.headers.get("X-Registry-Auth", ""))
        if self.hold_pulls:
            await self.hold_pulls.wait()
        if name not in self.registry or self.private.get(name, "") != request.headers.get("X-Registry-Auth", ""):
            raise Refused(404, f"pull access denied for {name}")
        if name in self.breaking:
            lines = ({"status": "Downloading", "id": "layer"}, {"errorDetail": {}, "error": "unexpected EOF"})
            return web.Response(text="".join(f"{json.dumps(line)}\r\n" for line in lines))
        self.images.add(name)
        return web.json_response({"status": f"Downloaded newer image for {name}"})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        listener: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._listeners.add(listener)
        try:
            while line := await listener.get():
                await response.write(line)
        finally:
            self._listeners.discard(listener)
        return response

    async def _logs(self, request: web.Request, name: str) -> web.StreamResponse:
        has_terminal = self._container(name)["Config"]["Tty"]
        reader = Reader(request)
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        self._readers.add(reader)
        try:
            said, given = self._said[name], 0
            entries = [entry for entry in said if reader.wants(entry)]
            tail = request.query.get("tail", "all")
            entries = entries if tail == "all" else entries[len(entries) - min(int(tail), len(entries)) :]
            given = len(said)
            while True:
                for entry in entries:
                    if reader.is_cut:
                        break
                    await response.write(entry.framed(has_terminal))
                    self.read += 1
                if reader.is_cut:
                    if request.transport is not None:
                        request.transport.abort()
                    return response
                if request.query["follow"] == "0" or (len(said) == given and self.status(name) != "running"):
                    return response
                await reader.wake.wait()
                reader.wake.clear()
                entries, given = [entry for entry in said[given:] if reader.wants(entry)], len(said)
        finally:
            self._readers.discard(reader)


@dataclass(frozen=True)
class Entry:
    stream: int
    moment: str
    details: str
    text: bytes

    def framed(self, has_terminal: bool) -> bytes:
        entry = f"{self.moment} {self.details} ".encode() + self.text
        return entry if has_terminal else struct.pack(">BxxxL", self.stream, len(entry)) + entry


@dataclass(eq=False)
class Reader:
    request: web.Request
    is_cut: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query)

    @property
    def is_there(self) -> bool:
        """A server notices only by its transport that a client has gone to which there is nothing to say."""
        return self.request.transport is not None and not self.request.transport.is_closing()

    def wants(self, entry: Entry) -> bool:
        if self.query["stdout" if entry.stream == 1 else "stderr"] != "1":
            return False
        seconds, _, nanoseconds = self.query.get("since", "0").partition(".")
        whole = int(datetime.fromisoformat(entry.moment[:19] + "+00:00").timestamp())
        return (whole, int(entry.moment[20:29])) >= (int(seconds), int(nanoseconds or "0"))


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _absent(words: str) -> web.Response:
    return web.json_response({"message": words}, status=404)
