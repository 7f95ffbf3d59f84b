"""Messages between a manager's dispatcher and a node's agent, over one WebSocket on the cluster port (2377).

Either side's first message opens the session: the agent's ``Hello``, the dispatcher's ``Welcome`` or ``Elsewhere``.
Each message is one text frame of JSON, tagged by its type. Who speaks is known from the certificate, never from a
message. Logs go another way, straight to the manager that a user has asked: the last part of this module.
"""

from __future__ import annotations

import msgspec

from swarmd.model import NodeDescription, Task, TaskStatus

SESSION_PATH = "/v1/session"
LOGS_PATH = "/v1/logs"
REMOVED = 4003
"""Code of the closing frame where the node is not in the cluster any more; the handshake is refused with 403 then."""
LARGEST_MESSAGE = 4 << 20
"""Bytes; a bigger one ends the session. As swarmkit's limit of 4 MiB for a gRPC message."""


class Manager(msgspec.Struct, frozen=True):
    node_id: str
    address: str
    """host:port of its cluster port."""


class Hello(msgspec.Struct, frozen=True, tag=True):
    description: NodeDescription


class Described(msgspec.Struct, frozen=True, tag=True):
    """The node's description has changed; it is read anew every 20 s."""

    description: NodeDescription


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    pass


class Report(msgspec.Struct, frozen=True, tag=True):
    """Statuses of tasks; at most 1,024 in one message. Answered by ``Reported`` once they are stored."""

    number: int
    statuses: dict[str, TaskStatus]
    """By task id."""


class Welcome(msgspec.Struct, frozen=True, tag=True):
    session_id: str
    managers: list[Manager]
    role: str
    """The role that the node is to have; another than its certificate's means: renew it."""


class Elsewhere(msgspec.Struct, frozen=True, tag=True):
    """This manager does not lead. The leader's entry, where it is known; then the manager closes."""

    managers: list[Manager]
    leader: Manager | None = None


class Beat(msgspec.Struct, frozen=True, tag=True):
    """Answer to a heartbeat."""

    period: int
    """Nanoseconds until the next one is due; varied by a tenth, so that nodes do not march in step."""


class Assignments(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """What the node is to run. A session begins with all its tasks, in as many messages as they need; the last of these
    is complete: of the tasks that a node has, those are removed then which are neither in it nor known by it."""

    complete: bool
    tasks: list[Task]
    removed: list[str] = []
    """Ids of tasks to forget, their containers removed."""
    known: list[str] = []
    """Of a complete one: ids of the tasks that the messages before it have named."""
    credentials: dict[str, str] = {}
    """By task id, the registry's for its image, if that has yet to be pulled: X-Registry-Auth as the engine takes it.
    Never written to disk."""


class LogOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which lines of a container's log are wanted."""

    stdout: bool = True
    stderr: bool = True
    follow: bool = False
    tail: int = -1
    """Lines from the end; negative is all."""
    since: str = ""
    """As the engine takes it: seconds and nanoseconds since 1970, ``1700000000.000000001``."""


class LogsWanted(msgspec.Struct, frozen=True, tag=True):
    """A user asks one of the managers for logs: the node is to bring them there, over a connection of its own."""

    delivery: str
    """The path of that connection is :data:`LOGS_PATH` and this id; the manager waits for it."""
    manager: Manager
    tasks: list[str]
    options: LogOptions


class Reported(msgspec.Struct, frozen=True, tag=True):
    number: int


class ClusterChanged(msgspec.Struct, frozen=True, tag=True):
    """Managers have come or gone, or the node's wanted role has changed."""

    managers: list[Manager]
    role: str


FromAgent = Hello | Described | Heartbeat | Report
FromDispatcher = Welcome | Elsewhere | Beat | Assignments | Reported | ClusterChanged | LogsWanted

_agent: msgspec.json.Decoder[FromAgent] = msgspec.json.Decoder(FromAgent)
_dispatcher: msgspec.json.Decoder[FromDispatcher] = msgspec.json.Decoder(FromDispatcher)


def encode(message: FromAgent | FromDispatcher) -> str:
    return msgspec.json.encode(message).decode()


def from_agent(text: str | bytes) -> FromAgent:
    """
    :raises msgspec.ValidationError: it is no message of an agent.
    """
    return _agent.decode(text)


def from_dispatcher(text: str | bytes) -> FromDispatcher:
    """
    :raises msgspec.ValidationError: it is no message of a dispatcher.
    """
    return _dispatcher.decode(text)


# Logs, on a connection of their own. Its frames are binary, MessagePack: lines are bytes, of any encoding or none.

LONGEST_LINE = 1 << 20
"""Bytes of a log's line; what is longer becomes several."""


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """Whole, and with its end."""

    stream: int
    """1 is stdout, 2 is stderr."""
    moment: str
    """RFC 3339, with the nanoseconds that the engine gives."""
    text: bytes
    details: dict[str, str] = {}
    """What the log driver was told to note with each line."""


class LogLines(msgspec.Struct, frozen=True, tag=True):
    task: str
    lines: list[LogLine]


class LogEnd(msgspec.Struct, frozen=True, tag=True):
    """There is nothing more to come of the task."""

    task: str
    reason: str = ""
    """Why that is not all of it; empty if it is."""


FromNode = LogLines | LogEnd

_node: msgspec.msgpack.Decoder[FromNode] = msgspec.msgpack.Decoder(FromNode)


def encode_log(message: FromNode) -> bytes:
    return msgspec.msgpack.encode(message)


def from_node(frame: bytes) -> FromNode:
    """
    :raises msgspec.MsgspecError: it is no message of a delivery.
    """
    return _node.decode(frame)
