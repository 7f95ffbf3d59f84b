"""Who gets a certificate, and for which role."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from cryptography import x509

from swarmd.errors import InvalidArgument, NodeUnavailable, PermissionDenied
from swarmd.identity import renewal, tokens
from swarmd.identity.peer import Peer
from swarmd.identity.root import RootCA, new_key, new_request
from swarmd.model import Cluster, NodeRole, SwarmSpec
from swarmd.node.protocol import Join
from swarmd.node.registrar import Registrar
from swarmd.store import Delete, Kind, Put
from swarmd.store.memory import MemoryStore

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Office:
    """A registrar with its CA and its store."""

    def __init__(self) -> None:
        self.root = RootCA.create()
        self.store = MemoryStore()
        self.registrar = Registrar(self.store, self.root, list)
        self.cluster = Cluster(
            id="cluster",
            spec=SwarmSpec(),
            created_at=NOW,
            updated_at=NOW,
            ca_certificate=self.root.certificate_pem.decode(),
            worker_token=str(tokens.new(self.root)),
            manager_token=str(tokens.new(self.root)),
        )

    async def open(self) -> None:
        await self.store.commit([Put(Kind.CLUSTER, "cluster", self.cluster)])

    async def admit(self, token: str, **more: str) -> tuple[str, bytes, bytes]:
        """Node id, key and certificate."""
        key = new_key()
        joined = await self.registrar.join(Join(token, new_request(key).decode(), **more))
        return joined.node_id, key, joined.certificate.encode()

    async def renew(self, key: bytes, certificate: bytes) -> Peer:
        leaf = certificate.split(b"-----END CERTIFICATE-----")[0] + b"-----END CERTIFICATE-----\n"
        asked = renewal.ask(new_request(new_key()), certificate_pem=leaf, key_pem=key)
        renewed = await self.registrar.renew(asked)
        return peer(renewed.certificate.encode())


def peer(certificate: bytes) -> Peer:
    return Peer.of_certificate(x509.load_pem_x509_certificate(certificate))


@pytest.fixture
async def office() -> Office:
    office = Office()
    await office.open()
    return office


@pytest.mark.parametrize("role", list(NodeRole))
async def test_the_token_decides_the_role(office: Office, role: NodeRole):
    token = office.cluster.manager_token if role is NodeRole.MANAGER else office.cluster.worker_token
    node_id, _, certificate = await office.admit(token)
    assert peer(certificate) == Peer(node_id, role, "cluster")
    node = office.store.snapshot().nodes[node_id].value
    assert (node.role, node.spec.role) == (role, role.value)


async def test_a_wrong_token_makes_no_node(office: Office):
    for token in (str(tokens.new(office.root)), "", "SWMTKN-1-x"):
        with pytest.raises(InvalidArgument, match="A valid join token is necessary to join this cluster"):
            await office.admit(token)
    assert office.store.snapshot().nodes == {}


async def test_availability_is_the_joiners_wish(office: Office):
    node_id, _, _ = await office.admit(office.cluster.worker_token, availability="drain")
    assert office.store.snapshot().nodes[node_id].value.spec.availability == "drain"
    with pytest.raises(InvalidArgument, match="Invalid availability"):
        await office.admit(office.cluster.worker_token, availability="sometimes")


async def test_a_token_that_is_rotated_at_the_same_moment_is_worth_nothing(office: Office):
    class Rotating(MemoryStore):
        """Another manager rotates the token between the look at it and the write."""

        rotated = False

        async def commit(self, changes, *, guards=(), epoch=None):
            if changes[0].kind is Kind.NODE and not self.rotated:
                self.rotated = True
                other = msgspec.structs.replace(office.cluster, worker_token=str(tokens.new(office.root)))
                await super().commit([Put(Kind.CLUSTER, "cluster", other)])
            return await super().commit(changes, guards=guards, epoch=epoch)

    office.store = Rotating()
    office.registrar = Registrar(office.store, office.root, list)
    await office.open()
    with pytest.raises(InvalidArgument, match="A valid join token is necessary"):
        await office.admit(office.cluster.worker_token)
    assert office.store.snapshot().nodes == {}


async def test_a_renewed_certificate_has_the_role_of_today(office: Office):
    node_id, key, certificate = await office.admit(office.cluster.manager_token)
    node = office.store.snapshot().nodes[node_id].value
    await office.store.commit([Put(Kind.NODE, node_id, msgspec.structs.replace(node, role=NodeRole.WORKER))])
    assert (await office.renew(key, certificate)).role is NodeRole.WORKER


async def test_a_removed_node_renews_nothing(office: Office):
    node_id, key, certificate = await office.admit(office.cluster.worker_token)
    await office.store.commit([Delete(Kind.NODE, node_id)])
    with pytest.raises(PermissionDenied, match="has been removed"):
        await office.renew(key, certificate)


async def test_before_the_cluster_is_there_nobody_is_let_in():
    office = Office()
    with pytest.raises(NodeUnavailable, match="still being made"):
        await office.admit(office.cluster.worker_token)
