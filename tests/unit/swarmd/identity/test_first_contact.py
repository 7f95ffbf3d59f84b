"""A joiner believes the CA that its token names, and no other."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from swarmd.errors import DaemonError
from swarmd.identity import RootCA, tokens
from swarmd.identity.trust import CA_PATH, fetch_ca
from swarmd.model import NodeRole


@pytest.fixture
def manager(issuer):
    return issuer.install("manager1", NodeRole.MANAGER)


@asynccontextmanager
async def cluster_port(credentials, handler):
    application = web.Application()
    application.router.add_get(CA_PATH, handler)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=credentials.server_context())
        await site.start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def answering(body, status=200):
    async def handler(_request):
        return web.Response(body=body, status=status)

    return handler


async def test_the_ca_that_the_token_names_is_taken(issuer, manager):
    token = tokens.parse(str(tokens.new(issuer.ca)))
    async with cluster_port(manager, answering(issuer.ca.certificate_pem)) as address:
        ca = await fetch_ca(address, token.digest)
    assert ca == RootCA.from_pem(issuer.ca.certificate_pem)


@pytest.mark.parametrize("extra", [True, False])
async def test_another_ca_is_refused_in_dockers_words(issuer, manager, foreign, extra):
    """Also if the right one stands beside it."""
    body = (issuer.ca.certificate_pem if extra else b"") + foreign.ca.certificate_pem
    async with cluster_port(manager, answering(body)) as address:
        with pytest.raises(DaemonError) as refusal:
            await fetch_ca(address, issuer.ca.digest)
    assert str(refusal.value) == f"remote CA does not match fingerprint. Expected: {issuer.ca.digest.hex()}"


@pytest.mark.parametrize("body", [b"", b"<html>hello</html>", b"-----BEGIN CERTIFICATE-----\n"])
async def test_what_is_no_ca_does_not_match_either(issuer, manager, body):
    async with cluster_port(manager, answering(body)) as address:
        with pytest.raises(DaemonError, match="does not match fingerprint"):
            await fetch_ca(address, issuer.ca.digest)


async def test_an_endless_answer_is_not_read_to_its_end(issuer, manager):
    async def endless(request):
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(1 << 16))
        except ConnectionError:
            return response

    async with cluster_port(manager, endless) as address:
        with pytest.raises(DaemonError, match="more than a CA has"):
            await fetch_ca(address, issuer.ca.digest)


async def test_a_refusal_is_told(issuer, manager):
    async with cluster_port(manager, answering(b"", 503)) as address:
        with pytest.raises(DaemonError, match=f"from {address}: it answered with status 503"):
            await fetch_ca(address, issuer.ca.digest)


async def test_nobody_there_is_told(issuer):
    with pytest.raises(DaemonError, match=r"from 127\.0\.0\.1:1: "):
        await fetch_ca("127.0.0.1:1", issuer.ca.digest)


async def test_silence_is_not_waited_for(issuer):
    never_accepts = socket.create_server(("127.0.0.1", 0))
    with never_accepts, pytest.raises(DaemonError, match="no answer in time"):
        await fetch_ca(f"127.0.0.1:{never_accepts.getsockname()[1]}", issuer.ca.digest, deadline=0.1)


async def test_a_server_without_tls_is_told(issuer):
    async def plain(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DaemonError, match="could not get the CA"):
            await fetch_ca(f"127.0.0.1:{port}", issuer.ca.digest)
