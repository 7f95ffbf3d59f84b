"""Docker's Engine API over its unix socket, for the swarm_* modules.

Standard library only: nothing has to be installed on the hosts, and a token never becomes an argument of a process,
as it would with ``docker swarm join --token``.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

DOCKER_SOCKET = "/run/docker.sock"
SWARM_PORT = 2377

# A manager without a leader answers only after 20 s (moby's swarmRequestTimeout); a shorter limit would hide its words.
ANSWER_SECONDS = 30.0

# How long an engine that has just started may take to find its swarm again; 1 to 2 s are usual.
SETTLE_SECONDS = 20.0

# Both happen in passing: an election (Docker's takes up to 10 s), and another writer between our read and our write.
_PASSING = (
    "update out of sequence",
    "The swarm does not have a leader",
    "context deadline exceeded",
    "code = Unavailable",
    "code = DeadlineExceeded",
    "raft: stopped",
    "no elected primary",
)

# An answer has the shape that Docker's API document gives it.
Json = Any

T = TypeVar("T")


class EngineError(Exception):
    """The engine refused, in its own words. ``status`` is HTTP's, or 0 where the engine could not be reached."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    @property
    def is_passing(self) -> bool:
        return any(words in self.message for words in _PASSING)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    """One engine's API. Paths carry no version, so the engine answers with its newest."""

    def __init__(self, docker_socket: str = DOCKER_SOCKET) -> None:
        self.docker_socket = docker_socket

    def get(self, path: str) -> Json:
        return self.call("GET", path)

    def post(self, path: str, body: object, **query: object) -> Json:
        return self.call("POST", path, body, **query)

    def call(self, method: str, path: str, body: object = None, **query: object) -> Json:
        """The answer's JSON, or None for an empty answer.

        :raises EngineError: it refused, or did not answer.
        """
        if query:
            path += "?" + urllib.parse.urlencode(query)
        _, text = self._exchange(method, path, None if body is None else json.dumps(body))
        return json.loads(text) if text.strip() else None

    def swarm_header(self) -> str:
        """The state in a swarm, as the answer to a ping has it since API 1.42 ("active/manager"); "" before."""
        headers, _ = self._exchange("GET", "/_ping", None)
        return headers.get("Swarm", "")

    def _exchange(self, method: str, path: str, body: str | None) -> tuple[http.client.HTTPMessage, str]:
        connection = _UnixConnection(self.docker_socket, ANSWER_SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(
                f"no answer from the Docker Engine at {self.docker_socket} ({error}): look at it with "
                "`systemctl status docker` on the host"
            ) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise EngineError(_message(text) or f"HTTP status {response.status}", response.status)
        return response.headers, text


@dataclass(frozen=True)
class Membership:
    """What an engine says about its own place in a swarm."""

    hostname: str = ""
    state: str = "inactive"
    """inactive, pending, active, error, locked (Docker's LocalNodeState)."""
    node_id: str = ""
    manager: bool = False
    cluster_id: str = ""
    """Known to a manager that has a leader; empty on any other node."""
    managers: list[str] = field(default_factory=list)
    """Addresses of the managers that it knows, as host:port."""
    error: str = ""

    @property
    def quorum(self) -> bool:
        return self.manager and bool(self.cluster_id)


def membership(engine: Engine) -> Membership:
    """What the engine says now; nothing but the state where it is in no swarm."""
    # /info starts three programs to ask their versions (0.2 s); most hosts of a new swarm need not be asked.
    if engine.swarm_header() == "inactive":
        return Membership()
    info = engine.get("/info")
    swarm = info.get("Swarm") or {}
    return Membership(
        hostname=info.get("Name", ""),
        state=swarm.get("LocalNodeState") or "inactive",
        node_id=swarm.get("NodeID") or "",
        manager=bool(swarm.get("ControlAvailable")),
        cluster_id=(swarm.get("Cluster") or {}).get("ID") or "",
        managers=[peer["Addr"] for peer in swarm.get("RemoteManagers") or [] if peer.get("Addr")],
        error=swarm.get("Error") or "",
    )


def settled_membership(engine: Engine, *, role: str = "", seconds: float = SETTLE_SECONDS) -> Membership:
    """The membership once the engine has found its swarm, and a manager its leader; or as it is when time is up.

    :param role: wait also until the node has this role, "manager" or "worker".
    """
    deadline = time.monotonic() + seconds
    while True:
        present = membership(engine)
        if is_settled(present, role) or time.monotonic() > deadline:
            return present
        time.sleep(0.25)


def is_settled(present: Membership, role: str = "") -> bool:
    if role and (present.state != "active" or present.manager != (role == "manager")):
        return False
    return present.state != "pending" and present.manager == present.quorum


def persistently(call: Callable[[], T], *, seconds: float = 60) -> T:
    """Repeat what fails for a passing reason.

    :raises EngineError: the last refusal, when time is up or the reason is not a passing one.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except EngineError as error:
            if not error.is_passing or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def with_port(address: str) -> str:
    """An address as host:port; IPv6 addresses in brackets."""
    if address.startswith("[") or address.count(":") == 1:
        return address if not address.endswith("]") else f"{address}:{SWARM_PORT}"
    return f"[{address}]:{SWARM_PORT}" if ":" in address else f"{address}:{SWARM_PORT}"


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()
