"""Every error that a user or another node may be told, with the status and the words of Docker's API.

Docker's daemon hands on what its cluster part says by gRPC, with the code in front ("rpc error: code = NotFound desc =
…"); what the daemon itself says stands alone. Scripts match the words, so both kinds are kept apart here too.
Source: moby/moby ``daemon/server/httpstatus/status.go``, ``daemon/cluster/errors.go``.
"""

from __future__ import annotations

from collections.abc import Iterable


class SwarmError(Exception):
    """Something is refused, or cannot be done; ``str()`` is the whole sentence that Docker's API answers."""

    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ClusterError(SwarmError):
    """Said by the cluster: with gRPC's code in front."""

    code = "Unknown"

    def __str__(self) -> str:
        return f"rpc error: code = {self.code} desc = {self.message}"


class InvalidArgument(ClusterError):
    code, status = "InvalidArgument", 400


class FailedPrecondition(ClusterError):
    code, status = "FailedPrecondition", 400


class NotFound(ClusterError):
    code, status = "NotFound", 404


class AlreadyExists(ClusterError):
    code, status = "AlreadyExists", 409


class PermissionDenied(ClusterError):
    code, status = "PermissionDenied", 403


class Unauthenticated(ClusterError):
    code, status = "Unauthenticated", 401


class Unimplemented(ClusterError):
    code, status = "Unimplemented", 501


class DeadlineExceeded(ClusterError):
    code, status = "DeadlineExceeded", 500


class IncompleteLogs(ClusterError):
    """Raised after the lines that could be had."""

    def __init__(self, reasons: Iterable[str]) -> None:
        super().__init__(
            "warning: incomplete log stream. some logs could not be retrieved for the following reasons: "
            + ", ".join(reasons)
        )


class OutOfSequence(ClusterError):
    """The object has been changed since the version that the update names. A plain store error of Docker's: 500."""

    def __init__(self) -> None:
        super().__init__("update out of sequence")


class NoLeader(ClusterError):
    """The quorum is lost, or a leader has not been found within the time allowed."""

    def __init__(self) -> None:
        super().__init__(
            "The swarm does not have a leader. It's possible that too few managers are online. "
            "Make sure more than half of the managers are online."
        )


class DaemonError(SwarmError):
    """Said by the daemon of this node: the sentence alone."""


class BadRequest(DaemonError):
    status = 400


class NoSuchObject(DaemonError):
    """What was named was looked up in the cluster by the daemon, and is not there."""

    status = 404


class Conflict(DaemonError):
    status = 409


class NotImplementedYet(DaemonError):
    """A verb, flag or field of Docker's that this daemon does not have yet."""

    status = 501


class NodeUnavailable(DaemonError):
    """This node cannot say or do that in the state that it is in."""

    status = 503


class NotInSwarm(NodeUnavailable):
    def __init__(self) -> None:
        super().__init__(
            'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to '
            "swarm and try again."
        )


class NotManager(NodeUnavailable):
    def __init__(self) -> None:
        super().__init__(
            "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. "
            "Please run this command on a manager node or promote the current node to a manager."
        )


class AlreadyInSwarm(NodeUnavailable):
    def __init__(self) -> None:
        super().__init__(
            'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
        )


class Internal(Exception):
    """Base of errors that are handled in the daemon and never told to a user as they are."""


class Deposed(Internal):
    """A leader's write was refused, because another leader has come; the daemon stops acting as one."""


class Lost(Internal):
    """A guarded write lost its race: what it was planned from has changed. Read again, plan again."""


class EngineUnreachable(Internal):
    """The local Docker Engine is absent, or did not answer in time: whether it did what was asked is unknown."""


class EngineRefused(Internal):
    """The local Docker Engine answered with an error; ``str()`` is its own words.

    :ivar status: HTTP's.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
