"""How a task advances on its node: one step at a time, each to a later state. Pure.

Source: moby/swarmkit ``agent/exec/controller.go``, ``Do``.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime

import msgspec

from swarmd.model import ContainerStatus, PortConfig, TaskState, TaskStatus


class Step(enum.Enum):
    """What is to be done next for a task; each is safe to repeat."""

    NOTHING = "nothing"
    """Until something else is desired."""
    ACCEPT = "accept"
    ANNOUNCE_PREPARATION = "announce preparation"
    PREPARE = "prepare"
    """Pull the image and create the container."""
    ANNOUNCE_START = "announce start"
    START = "start"
    """Start the container and, where it has a health check, wait until it is healthy."""
    WAIT = "wait"
    """For the container's end."""
    SHUT_DOWN = "shut down"
    REMOVE = "remove"
    """The ended task's container."""


_STEPS = {
    TaskState.NEW: Step.ACCEPT,
    TaskState.PENDING: Step.ACCEPT,
    TaskState.ASSIGNED: Step.ACCEPT,
    TaskState.ACCEPTED: Step.ANNOUNCE_PREPARATION,
    TaskState.PREPARING: Step.PREPARE,
    TaskState.READY: Step.ANNOUNCE_START,
    TaskState.STARTING: Step.START,
    TaskState.RUNNING: Step.WAIT,
}


def next_step(desired: TaskState, observed: TaskState) -> Step:
    if observed.is_final:
        return Step.REMOVE if desired >= TaskState.REMOVE else Step.NOTHING
    if desired >= TaskState.SHUTDOWN:
        return Step.SHUT_DOWN
    if observed >= desired and observed != TaskState.RUNNING:
        return Step.NOTHING
    return _STEPS[observed]


class TaskFailure(Exception):
    """The task cannot go on; ``str()`` is what the user reads in ``docker service ps``."""

    def __init__(self, message: str, exit_code: int | None = None, *, step: str = "") -> None:
        """
        :param step: the status' message; empty: that of the last step which went well.
        """
        super().__init__(message)
        self.exit_code = exit_code
        self.step = step


def cannot_be(error: Exception) -> TaskFailure:
    """No node could make a container of the task; in Docker's words."""
    return TaskFailure(str(error), step="resolving controller failed")


def exited(exit_code: int, cause: str = "") -> TaskFailure:
    """Docker's words for a container that has ended otherwise than by 0, or was made to."""
    words = f"task: non-zero exit ({exit_code})" if exit_code else ""
    return TaskFailure(": ".join(part for part in (words, cause) if part), exit_code)


def advanced(
    status: TaskStatus,
    state: TaskState,
    message: str,
    now: datetime,
    container: ContainerStatus | None = None,
    ports: Sequence[PortConfig] = (),
) -> TaskStatus:
    """The status after a step that went well.

    :param ports: what of the host's ports leads into the container now.
    """
    if state < status.state:
        raise ValueError(f"a task does not go back from {status.state.word} to {state.word}")
    container = container or status.container
    return TaskStatus(timestamp=now, state=state, message=message, container=container, ports=list(ports))


def failed(
    status: TaskStatus, failure: TaskFailure, now: datetime, container: ContainerStatus | None = None
) -> TaskStatus:
    """Rejected while the task was being prepared, Failed from Starting on; the ports are free again."""
    container = container or status.container
    if failure.exit_code is not None:
        container = msgspec.structs.replace(container or ContainerStatus(), exit_code=failure.exit_code)
    return TaskStatus(
        timestamp=now,
        state=TaskState.REJECTED if status.state < TaskState.STARTING else TaskState.FAILED,
        message=failure.step or status.message,
        err=str(failure),
        container=container,
    )


def hindered(status: TaskStatus, reason: str, now: datetime) -> TaskStatus:
    """A step is to be tried again: the state stays, the reason shows."""
    return msgspec.structs.replace(status, timestamp=now, err=reason)
