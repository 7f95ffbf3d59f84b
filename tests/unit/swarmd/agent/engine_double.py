"""A Docker engine without containers: a real HTTP server on a unix socket that keeps states as the engine does.

What Docker itself does is tried in tests/lab/swarmd; here it is what no real engine does on demand.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web


class EngineDouble:
    def __init__(self) -> None:
        self.images = {"busybox:latest"}
        self.containers: dict[str, dict[str, Any]] = {}
        self.registry: set[str] = set()
        self.private: dict[str, str] = {}
        """Image -> the X-Registry-Auth with which alone the registry gives it."""
        self.pulls: list[str] = []
        self.breaking: set[str] = set()
        """Images whose pulls begin well."""
        self.calls: list[str] = []
        self.bodies: dict[str, dict[str, Any]] = {}
        """What containers were to be like, by name."""
        self.refuse: dict[str, tuple[int, str]] = {}
        """A call's last word -> what it is answered."""
        self.hold_pulls: asyncio.Event | None = None
        self._listeners: set[asyncio.Queue[bytes | None]] = set()

    def drop_streams(self) -> None:
        for listener in self._listeners:
            listener.put_nowait(None)

    def end(self, name: str, code: int) -> None:
        """Its process exits."""
        self.end_unheard(name, code)
        self._tell("die", name, exitCode=str(code))

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
                return web.json_response({"Name": "host", "NCPU": 2, "OSType": "linux", "Architecture": "x86_64"})
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
            "Config": {"Labels": body["Labels"], "Healthcheck": None},
        }
        if "HEALTH=1" in body["Env"]:
            self.containers[name]["Config"]["Healthcheck"] = {"Test": ["CMD", "true"]}
            self.containers[name]["State"]["Health"] = {"Status": "starting"}
        return web.json_response({"Id": name, "Warnings": []}, status=201)

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        name = request.query["fromImage"]
        self.pulls.append(name)
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


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _absent(words: str) -> web.Response:
    return web.json_response({"message": words}, status=404)
