"""A Docker engine's socket, as far as the API asks it: a real HTTP server with answers of an engine 26.1.5."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from aiohttp import web

CONTAINERS = [
    {"Id": "a" * 64, "Names": ["/web.1.x"], "Labels": {"com.docker.swarm.task": ""}},
    {"Id": "b" * 64, "Names": ["/mine"], "Labels": {}},
    {"Id": "c" * 64, "Names": ["/other"], "Labels": None},
]


class FakeDockerEngine:
    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.api_version = "1.45"
        self.asked: list[str] = []
        self.events: asyncio.Queue[bytes | None] = asyncio.Queue()
        """Pieces of the events' stream; None ends it."""

    async def start(self) -> web.AppRunner:
        application = web.Application()
        for path, handler in (
            ("/info", self._info),
            ("/version", self._version),
            ("/_ping", self._ping),
            ("/events", self._events),
            ("/containers/json", self._containers),
            ("/distribution/{image:.*}/json", self._distribution),
        ):
            application.router.add_get(path, handler)
            application.router.add_get("/v{version:[0-9.]+}" + path, handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(self.socket)).start()
        return runner

    def _answer(self, request: web.Request, value: object, status: int = 200) -> web.Response:
        self.asked.append(f"{request.method} {request.path_qs}")
        headers = {"Api-Version": self.api_version, "Builder-Version": "2"}
        return web.json_response(value, status=status, headers=headers)

    async def _info(self, request: web.Request) -> web.Response:
        engine = {
            "ID": "engine",
            "Name": "manager1",
            "ServerVersion": "26.1.5",
            "Containers": 3,
            "OSType": "linux",
            "Swarm": {"LocalNodeState": "inactive"},
            "LiveRestoreEnabled": True,
        }
        return self._answer(request, engine)

    async def _version(self, request: web.Request) -> web.Response:
        details = {"ApiVersion": self.api_version, "MinAPIVersion": "1.24", "Os": "linux"}
        component = {"Name": "Engine", "Version": "26.1.5", "Details": details}
        answer = {"Version": "26.1.5", "ApiVersion": self.api_version, "MinAPIVersion": "1.24", "Os": "linux"}
        return self._answer(request, answer | {"Components": [component]})

    async def _ping(self, request: web.Request) -> web.Response:
        return self._answer(request, "OK")

    async def _distribution(self, request: web.Request) -> web.Response:
        return self._answer(request, {"message": "no such registry"}, 500)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"GET {request.path_qs}")
        response = web.StreamResponse()
        await response.prepare(request)
        while (piece := await self.events.get()) is not None:
            await response.write(piece)
        return response

    async def _containers(self, request: web.Request) -> web.Response:
        labels = json.loads(request.query.get("filters", "{}")).get("label", [])
        shown = [one for one in CONTAINERS if all(label in (one["Labels"] or {}) for label in labels)]
        return self._answer(request, shown)
