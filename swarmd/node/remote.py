"""Asking a manager on its cluster port."""

from __future__ import annotations

import ssl
from typing import TypeVar

import aiohttp
import msgspec

from swarmd import errors
from swarmd.node import protocol

Answer = TypeVar("Answer")

CONNECT = 2.0
"""Seconds. A machine that is off answers nothing at all; a busy one completes a TCP handshake in its kernel."""


class Unreachable(errors.Internal):
    """The manager did not answer."""


async def ask(
    address: str,
    path: str,
    body: msgspec.Struct,
    answer: type[Answer],
    *,
    context: ssl.SSLContext,
    within: float = 5.0,
) -> Answer:
    """
    :param address: host:port.
    :param context: the node's own; or, for joining, one that trusts the CA that the token pins.
    :raises Unreachable: no answer within the deadline.
    :raises swarmd.errors.SwarmError: the manager's refusal, in its words.
    """
    timeout = aiohttp.ClientTimeout(total=within, connect=min(CONNECT, within))
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(f"https://{address}{path}", data=msgspec.json.encode(body), ssl=context) as response,
        ):
            content = await response.read()
            if response.status != 200:
                raise _refusal(content, response.status)
    except aiohttp.ClientConnectorError as error:  # its own words name the TLS context as well
        raise Unreachable(f"{address}: {error.os_error.strerror or error.os_error}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(f"{address}: {error or 'no answer'}") from error
    return msgspec.json.decode(content, type=answer)


def _refusal(content: bytes, status: int) -> errors.SwarmError:
    try:
        refused = msgspec.json.decode(content, type=protocol.Refused)
    except msgspec.DecodeError:
        return errors.NodeUnavailable(f"the manager answered with status {status}")
    kinds: dict[str, type[errors.ClusterError]] = {
        kind.code: kind
        for kind in (
            errors.InvalidArgument,
            errors.FailedPrecondition,
            errors.NotFound,
            errors.AlreadyExists,
            errors.PermissionDenied,
            errors.Unauthenticated,
            errors.DeadlineExceeded,
        )
    }
    if not refused.code:
        refusal = errors.DaemonError(refused.message)
        refusal.status = refused.status
        return refusal
    return kinds.get(refused.code, errors.ClusterError)(refused.message)
