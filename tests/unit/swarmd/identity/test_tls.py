"""Who may speak to whom: real handshakes on loopback."""

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest

from swarmd.errors import PermissionDenied, SwarmError, Unauthenticated
from swarmd.identity import Peer, contexts, peer_of
from swarmd.model import NodeRole

LONG_AGO = datetime.now(UTC) - timedelta(days=200)


class Door:
    """A server that tells each caller who it is to it, and keeps the first connections open."""

    def __init__(self, context, cluster_id="cluster1"):
        self.context, self.cluster_id = context, cluster_id

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def _answer(self, reader, writer):
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while await reader.readline():
                try:
                    answer = repr(peer_of(writer.get_extra_info("ssl_object"), self.cluster_id))
                except SwarmError as error:
                    answer = str(error)
                writer.write(answer.encode() + b"\n")
                await writer.drain()
        writer.close()

    async def call(self, context):
        """Opens a connection and asks who it is; returns (ask again, the connection's end)."""
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)

            async def ask():
                writer.write(b"\n")
                await writer.drain()
                if not (answer := (await reader.readline()).decode().strip()):
                    raise ConnectionResetError("closed without an answer")
                return answer

            return ask, writer

    async def greet(self, context):
        ask, writer = await self.call(context)
        try:
            return await ask()
        finally:
            writer.close()
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                await writer.wait_closed()


@pytest.fixture
def manager(issuer):
    return issuer.install("manager1", NodeRole.MANAGER)


@pytest.fixture
def worker(issuer):
    return issuer.install("worker1", NodeRole.WORKER)


async def test_both_sides_know_each_other(manager, worker):
    async with Door(manager.server_context()) as door:
        assert await door.greet(worker.client_context()) == repr(Peer("worker1", NodeRole.WORKER, "cluster1"))
        _, writer = await door.call(worker.client_context())
        assert peer_of(writer.get_extra_info("ssl_object"), "cluster1").node_id == "manager1"
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        writer.close()
        await writer.wait_closed()


async def test_no_connection_can_be_resumed(manager, worker):
    """It would come back without its certificate being looked at again, ended or not."""
    async with Door(manager.server_context()) as door:
        ask, writer = await door.call(worker.client_context())
        await ask()
        session = writer.get_extra_info("ssl_object").session
        assert session is None or not session.has_ticket
        writer.close()
        await writer.wait_closed()


async def test_who_has_no_certificate_gets_in_and_is_nobody(issuer, manager):
    async with Door(manager.server_context()) as door:
        answer = await door.greet(contexts.joining_context(issuer.ca.certificate_pem))
    assert answer == str(Unauthenticated("Permission denied: no client certificates in request"))


async def test_older_tls_is_refused(manager, worker):
    context = worker.client_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Door(manager.server_context()) as door:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await door.greet(context)


async def test_a_worker_cannot_play_the_manager(worker, manager):
    async with Door(worker.server_context()) as door:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'swarm-manager'"):
            await door.greet(manager.client_context())


async def test_a_manager_of_another_cluster_is_refused(foreign, worker):
    async with Door(foreign.install("m", NodeRole.MANAGER).server_context()) as door:
        with pytest.raises(ssl.SSLCertVerificationError):
            await door.greet(worker.client_context())


async def test_a_foreign_nodes_certificate_is_refused(issuer, manager, foreign):
    stranger = foreign.install("worker9")
    context = stranger.client_context()
    context.load_verify_locations(cadata=issuer.ca.certificate_pem.decode())
    async with Door(manager.server_context()) as door:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await door.greet(context)


async def test_a_certificate_of_another_cluster_by_the_same_ca_is_refused(issuer, manager):
    other = issuer.install("worker2", cluster_id="cluster0")
    async with Door(manager.server_context()) as door:
        answer = await door.greet(other.client_context())
    assert answer == str(PermissionDenied("Permission denied: remote certificate not part of organization: cluster1"))


async def test_an_ended_certificate_opens_nothing(issuer, manager):
    late = issuer.install("worker2", now=LONG_AGO)
    async with Door(manager.server_context()) as door:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await door.greet(late.client_context())


async def test_a_manager_whose_certificate_has_ended_is_not_believed(issuer, worker):
    late = issuer.install("manager2", NodeRole.MANAGER, now=LONG_AGO)
    async with Door(late.server_context()) as door:
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await door.greet(worker.client_context())


async def test_a_renewal_reaches_contexts_in_use_and_cuts_no_connection(issuer, worker):
    manager = issuer.install("manager1", NodeRole.MANAGER)
    server, client = manager.server_context(), worker.client_context()
    async with Door(server) as door:
        ask, writer = await door.call(client)
        assert "WORKER" in await ask()
        first = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]

        manager.renew(**issuer.pair("manager1", NodeRole.MANAGER))
        worker.renew(**issuer.pair("worker1", NodeRole.MANAGER))

        assert "WORKER" in await ask()
        assert "MANAGER" in await door.greet(client)
        _, second = await door.call(client)
        assert second.get_extra_info("ssl_object").getpeercert()["serialNumber"] != first
        for each in (writer, second):
            each.close()
            await each.wait_closed()


async def test_an_ended_certificate_is_brought_back_by_its_renewal(issuer, manager):
    late = issuer.install("worker2", now=LONG_AGO)
    client = late.client_context()
    late.renew(**issuer.pair("worker2"))
    async with Door(manager.server_context()) as door:
        assert "worker2" in await door.greet(client)


async def test_a_new_ca_is_trusted_beside_the_old_one(issuer, manager, worker, foreign):
    client = worker.client_context()
    worker.renew(ca_pem=issuer.ca.certificate_pem + foreign.ca.certificate_pem, **issuer.pair("worker1"))
    elsewhere = foreign.install("m", NodeRole.MANAGER)
    elsewhere.renew(
        ca_pem=foreign.ca.certificate_pem + issuer.ca.certificate_pem, **foreign.pair("m", NodeRole.MANAGER)
    )
    for credentials in (manager, elsewhere):
        async with Door(credentials.server_context()) as door:
            assert "worker1" in await door.greet(client)


def test_a_role_is_demanded_in_dockers_words():
    with pytest.raises(PermissionDenied, match=r"remote certificate not part of OUs: \[swarm-manager\]"):
        Peer("n", NodeRole.WORKER, "c").require(NodeRole.MANAGER)


def test_without_tls_there_is_no_peer():
    with pytest.raises(Unauthenticated):
        peer_of(None, "cluster1")
