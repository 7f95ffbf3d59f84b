"""A client of one host's engine, and its failures in few words."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from provisioner.errors import ProvisionError
from provisioner.machines import Machine

if TYPE_CHECKING:
    import docker

# What requests and urllib3 wrap into several layers, and what it means for a socket of this machine.
_CONNECTION = (
    ("timed out", "no answer in time"),
    ("Connection refused", "nothing listens on its Docker socket"),
    ("No such file", "it has no Docker socket"),
    ("Connection aborted", "the connection was cut"),
)


def connect(machine: Machine, timeout: float) -> docker.APIClient:
    """A client of one host's engine, with the highest API version that both speak; use it in a ``with``.

    :param timeout: seconds that any of its calls may be silent.
    :raises OSError: nothing listens on its socket.
    :raises docker.errors.DockerException: the engine does not answer.
    """
    # The library never closes a socket whose connect() failed, which Python warns of: try with one that is closed.
    with socket.socket(socket.AF_UNIX) as attempt:
        attempt.settimeout(timeout)
        attempt.connect(str(machine.docker_socket))
    import docker  # noqa: PLC0415 (170 ms that commands which ask no engine do not pay)

    seconds: int = timeout  # type: ignore[assignment]  # the stubs know whole seconds only
    return docker.APIClient(f"unix://{machine.docker_socket}", version="auto", timeout=seconds)


def reason(error: Exception) -> str:
    """Why a call failed: Docker's own words where it answered, else what the connection met."""
    explanation = getattr(error, "explanation", None)
    if explanation:
        return re.sub(r"^rpc error: code = \w+ desc = ", "", str(explanation).strip())
    text = str(error)
    if isinstance(error, ProvisionError):
        return text
    for sign, words in _CONNECTION:
        if sign.lower() in text.lower():
            return words
    return text.splitlines()[0] if text else type(error).__name__
