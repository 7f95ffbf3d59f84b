"""A Docker engine's socket with answers laid down beforehand: a real server at the transport, no patches."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from provisioner.lab import HostSpec, Role
from provisioner.machines import Machine, MachineState

Route = Callable[[Any], tuple[int, Any]]


class FakeEngine:
    """Serves ``answers``: path without version -> JSON value, or a function of (body, query) to status and value."""

    def __init__(self, socket: Path, *, swarm: str | None = "active/manager", answers: dict[str, Any] | None = None):
        self.swarm = swarm
        self.answers: dict[str, Any] = {"/version": {"ApiVersion": "1.45"}, "/_ping": "OK", **(answers or {})}
        self.seen: list[str] = []
        self.slow: dict[str, float] = {}
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def address_string(self) -> str:
                return "unix"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_DELETE(self) -> None:
                self._answer()

            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                path, _, query = self.path.partition("?")
                if path.startswith("/v1."):
                    path = path[path.index("/", 1) :]
                engine.seen.append(f"{self.command} {path}?{query}")
                time.sleep(engine.slow.get(path, 0))
                answer = engine.answers.get(path, (404, {"message": f"no {path} here"}))
                status, value = answer((body, query)) if callable(answer) else (200, answer)
                if isinstance(value, tuple):
                    status, value = value
                data = json.dumps(value).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    if engine.swarm is not None:
                        self.send_header("Swarm", engine.swarm)
                    self.end_headers()
                    self.wfile.write(data)
                except BrokenPipeError:
                    pass  # the client gave up

        self._server = socketserver.ThreadingUnixStreamServer(str(socket), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> FakeEngine:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def refuse(self, path: str, message: str, status: int = 503) -> None:
        self.answers[path] = (status, {"message": message})


def machine(name: str, folder: Path, *, state: MachineState = "running", role: Role | None = None) -> Machine:
    number = int(name[-1])
    kind: Role = role or ("manager" if name.startswith("manager") else "worker")
    address = IPv4Address("192.168.56.9") + number + (0 if name.startswith("manager") else 10)
    return Machine(HostSpec(name=name, role=kind, address=address), state, folder / f"{name}.sock")


def node(
    name: str, *, leader: bool = False, status: str = "ready", reachability: str | None = None, **spec: Any
) -> Any:
    role = spec.pop("role", "manager" if name.startswith("manager") else "worker")
    value = {
        "ID": f"id-{name}",
        "Spec": {"Role": role, "Availability": "active", "Labels": {}, **spec},
        "Description": {"Hostname": name, "Engine": {"EngineVersion": "26.1.5"}},
        "Status": {"State": status, "Addr": "192.168.56.10"},
    }
    if role == "manager":
        value["ManagerStatus"] = {"Reachability": reachability or "reachable"} | ({"Leader": True} if leader else {})
    return value
