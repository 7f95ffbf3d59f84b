"""The cluster port and those who should not be there: strangers, workers, the removed, and nonsense."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
import pytest
from nodes import Nodes, RunningNode, roles

from swarmd.identity.contexts import joining_context
from swarmd.identity.trust import unverified_context
from swarmd.model import NodeRole
from swarmd.node import protocol


def context_of(node: RunningNode) -> ssl.SSLContext:
    current = node.lifecycle.current
    assert current is not None
    return current.credentials.client_context()


def without_certificate(node: RunningNode) -> ssl.SSLContext:
    current = node.lifecycle.current
    assert current is not None
    return joining_context(current.credentials.ca.certificate_pem)


async def post(node: RunningNode, path: str, body: bytes, context: ssl.SSLContext) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.post(f"https://{node.address}{path}", data=body, ssl=context) as response,
    ):
        return response.status, await response.text()


@pytest.fixture
async def one(nodes: Nodes) -> RunningNode:
    node = await nodes.node("one")
    await node.init()
    return node


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"token": 7, "csr": ""}', b'{"token": "SWMTKN-1-a-b", "csr": "x"}']
)
async def test_nonsense_is_refused_and_the_manager_lives_on(one: RunningNode, body: bytes):
    status, text = await post(one, protocol.JOIN, body, without_certificate(one))
    assert status == 400, text
    assert '"message"' in text
    assert one.snapshot().cluster is not None


async def test_a_body_without_end_is_cut(one: RunningNode):
    class Endless:
        async def __aiter__(self):
            while True:
                yield b"x" * 65536

    cut = False
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        url = f"https://{one.address}{protocol.JOIN}"
        try:
            async with session.post(url, data=aiter(Endless()), ssl=without_certificate(one)) as response:
                cut = response.status == 413
        except (aiohttp.ClientConnectionError, ConnectionError):
            cut = True  # it has closed before we had read why
    assert cut


@pytest.mark.parametrize("path", [protocol.KEYS, protocol.ADD, protocol.REMOVE, protocol.HAND_OVER])
async def test_without_a_certificate_nobody_touches_the_quorum(one: RunningNode, path: str):
    status, text = await post(one, path, b"{}", without_certificate(one))
    assert status == 401
    assert "no client certificates" in text


async def test_a_worker_gets_no_keys(nodes: Nodes, one: RunningNode):
    two = await nodes.node("two")
    await two.join(one, NodeRole.WORKER)
    status, text = await post(one, protocol.KEYS, b"{}", context_of(two))
    assert status == 403
    assert "swarm-manager" in text
    assert "PRIVATE KEY" not in text


async def test_a_manager_that_was_demoted_gets_no_keys_with_its_old_certificate(nodes: Nodes, one: RunningNode):
    two = await nodes.node("two")
    await two.join(one, NodeRole.MANAGER)
    old = context_of(two)
    assert (await post(one, protocol.KEYS, b"{}", old))[0] == 200
    current = two.lifecycle.current
    assert current is not None
    pair = current.credentials.path.read_bytes()
    from wishes import wish  # noqa: PLC0415

    await wish(one, two, role="worker")
    await one.until(lambda seen: roles(seen).get("two") == "worker", "two is a worker")
    kept = two.folder / "kept.pem"
    kept.write_bytes(pair)
    thief = without_certificate(one)
    thief.load_cert_chain(kept)
    status, text = await post(one, protocol.KEYS, b"{}", thief)
    assert (status, "no manager any more" in text) == (403, True)


async def test_certificates_of_another_cluster_are_not_let_in(nodes: Nodes, one: RunningNode):
    stranger = await nodes.node("stranger")
    await stranger.init()
    foreign = context_of(stranger)
    with pytest.raises(aiohttp.ClientError):  # who asks does not trust the manager either
        await post(one, protocol.KEYS, b"{}", foreign)
    blind = unverified_context()
    current = stranger.lifecycle.current
    assert current is not None
    blind.load_cert_chain(current.credentials.path)
    with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
        await post(one, protocol.KEYS, b"{}", blind)
    assert one.snapshot().cluster is not None


async def test_connections_that_say_nothing_do_not_keep_others_out(nodes: Nodes, one: RunningNode):
    host, _, port = one.address.rpartition(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(50)]
    try:
        two = await nodes.node("two")
        await two.join(one, NodeRole.WORKER)
    finally:
        for _, writer in silent:
            writer.close()
            await writer.wait_closed()
