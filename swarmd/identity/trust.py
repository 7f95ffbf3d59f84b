"""A joiner's first contact: it asks a manager for the cluster's CA, and believes it only by the token's digest."""

from __future__ import annotations

import asyncio
import hmac
import ssl

import aiohttp

from swarmd.errors import DaemonError
from swarmd.identity.root import RootCA

CA_PATH = "/v1/ca"
"""Answers the PEM text of ``RootCA.certificate_pem``, to anyone."""

DEADLINE = 5.0
"""Seconds for the whole exchange, as swarmkit's for its calls to a remote CA."""

LARGEST_BUNDLE = 64 << 10
"""Bytes; a root certificate has about 600."""


async def fetch_ca(address: str, digest: bytes, *, deadline: float = DEADLINE) -> RootCA:
    """The CA of the cluster that the manager at ``address`` (host:port) belongs to, without its key.

    :raises swarmd.errors.DaemonError: it cannot be reached, or its CA is not the one of the token.
    """
    try:
        async with asyncio.timeout(deadline):
            bundle = await _download(address)
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        reason = str(error) or "no answer in time"
        raise DaemonError(f"could not get the CA of the swarm from {address}: {reason}") from error
    return verified(bundle, digest)


def verified(bundle: bytes, digest: bytes) -> RootCA:
    """
    :raises swarmd.errors.DaemonError: the bundle is not what the digest was taken of.
    """
    try:
        ca = RootCA.from_pem(bundle)
    except ValueError:
        ca = None
    if ca is None or not hmac.compare_digest(ca.digest, digest):
        raise DaemonError(f"remote CA does not match fingerprint. Expected: {digest.hex()}")
    return ca


def unverified_context() -> ssl.SSLContext:
    """For the one connection on which nothing is believed but what the digest confirms."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _download(address: str) -> bytes:
    url = f"https://{address}{CA_PATH}"
    connector = aiohttp.TCPConnector(ssl=unverified_context())
    async with (
        aiohttp.ClientSession(connector=connector, trust_env=False) as session,
        session.get(url, allow_redirects=False) as answer,
    ):
        if answer.status != 200:
            raise aiohttp.ClientPayloadError(f"it answered with status {answer.status}")
        bundle = b""
        async for part in answer.content.iter_chunked(LARGEST_BUNDLE):
            bundle += part
            if len(bundle) > LARGEST_BUNDLE:
                raise aiohttp.ClientPayloadError("it answered with more than a CA has")
        return bundle
