"""Requests between nodes on the cluster port (2377) besides the sessions of wire.py: entering, certificates, quorum.

All are POST with a JSON body over TLS 1.3, but ``GET /v1/ca``. Who asks is known from the client's certificate; only
``/v1/ca``, ``/v1/join`` and ``/v1/renew`` are answered without one. ``/v1/members`` is for managers alone.
"""

from __future__ import annotations

import msgspec

from swarmd.wire import LogsWanted, Manager

CA = "/v1/ca"
"""GET: the root's certificate as PEM. Trusted by nobody until its digest is the token's."""
JOIN = "/v1/join"
RENEW = "/v1/renew"
LEAVE = "/v1/leave"
KEYS = "/v1/members/keys"
STANDING = "/v1/members/standing"
ADD = "/v1/members/add"
PROMOTE = "/v1/members/promote"
REMOVE = "/v1/members/remove"
HAND_OVER = "/v1/members/hand-over"
WANT_LOGS = "/v1/logs/want"
"""For managers alone, as ``/v1/members``; ``GET /v1/logs/ID`` is a node's (wire.py)."""

LARGEST_BODY = 1 << 20


class Join(msgspec.Struct, frozen=True):
    token: str
    csr: str
    """PEM."""
    availability: str = "active"


class Joined(msgspec.Struct, frozen=True):
    node_id: str
    certificate: str
    """PEM, with the root behind it."""
    role: str
    managers: list[Manager]


class Renewed(msgspec.Struct, frozen=True):
    certificate: str


class Nothing(msgspec.Struct, frozen=True):
    pass


class KeysAsked(msgspec.Struct, frozen=True):
    """Answered by ``authority.Keys``, to a manager's certificate only."""


class PeerAsked(msgspec.Struct, frozen=True):
    """Of ``STANDING``, ``ADD`` and ``REMOVE``."""

    peer_url: str


class Listed(msgspec.Struct, frozen=True):
    standing: str


class Added(msgspec.Struct, frozen=True):
    member_id: int
    initial_cluster: list[tuple[str, str]]
    """Name and peer URL of each member; the one that is being added has no name yet."""


class Promote(msgspec.Struct, frozen=True):
    member_id: int
    applied_index: int
    """What the joiner's own etcd said within the last 200 ms: etcd itself promotes also the dead."""
    peer_url: str


class LogsOfNode(msgspec.Struct, frozen=True):
    node_id: str
    wanted: LogsWanted


class LogsAsked(msgspec.Struct, frozen=True):
    """The leader is to tell these nodes; the logs go to the manager that asks."""

    nodes: list[LogsOfNode]


class LogsUntold(msgspec.Struct, frozen=True):
    deliveries: list[str]
    """Those whose node has no session."""


class Refused(msgspec.Struct, frozen=True):
    """Body of every answer that is not 200."""

    message: str
    code: str = ""
    """gRPC's; empty where the daemon says it and not the cluster."""
    status: int = 500
