"""The first steps of ``swarm init`` and ``swarm join``: what a new cluster begins with, and asking to be let in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from swarmd.errors import BadRequest, NodeUnavailable, SwarmError
from swarmd.identity import contexts, tokens, trust
from swarmd.identity.root import new_key, new_request
from swarmd.membership import InitRequest
from swarmd.model import Availability, Cluster, Node, NodeRole, NodeSpec, new_id
from swarmd.node import protocol, remote
from swarmd.node.addresses import advertise_address, data_path_address, listen_address, remote_address
from swarmd.node.authority import Authority
from swarmd.node.manager import Seed
from swarmd.node.state import NodeState


def local_addresses(listen: str, advertise: str, data_path: str) -> NodeState:
    """
    :raises swarmd.errors.BadRequest: one of them cannot be, in Docker's words.
    """
    listening = listen_address(listen)
    advertised = advertise_address(advertise, listen=listening)
    return NodeState(listening, advertised, data_path_address(data_path, advertise=advertised))


def new_cluster(request: InitRequest, authority: Authority) -> Seed:
    now = datetime.now(UTC)
    cluster = Cluster(
        id=new_id(),
        spec=request.spec,
        created_at=now,
        updated_at=now,
        ca_certificate=authority.root.certificate_pem.decode(),
        worker_token=str(tokens.new(authority.root)),
        manager_token=str(tokens.new(authority.root)),
        default_addr_pool=list(request.default_addr_pool) or ["10.0.0.0/8"],
        subnet_size=request.subnet_size or 24,
        data_path_port=request.data_path_port or 4789,
    )
    spec = NodeSpec(role=NodeRole.MANAGER.value, availability=Availability(request.availability))
    return Seed(cluster, Node(new_id(), spec, NodeRole.MANAGER, now, now))


def first_certificate(seed: Seed, authority: Authority) -> tuple[bytes, bytes]:
    """A key and a manager's certificate for the node that makes a cluster; PEM."""
    key = new_key()
    chain = authority.root.sign(
        new_request(key),
        node_id=seed.node.id,
        role=NodeRole.MANAGER,
        cluster_id=seed.cluster.id,
        valid_for=timedelta(microseconds=seed.cluster.spec.ca_config.node_cert_expiry / 1000),
    )
    return key, chain


async def ask_to_join(
    addresses: tuple[str, ...], token: tokens.Token, asked: protocol.Join
) -> tuple[bytes, protocol.Joined]:
    """Ask the managers in turn.

    :returns: the cluster's CA as PEM, and what the manager answered.
    :raises swarmd.errors.SwarmError: the last one's refusal, or that none could be reached.
    """
    failure: SwarmError = BadRequest("at least 1 RemoteAddr is required to join")
    for address in map(remote_address, addresses):
        try:
            ca = await trust.fetch_ca(address, token.digest)
            context = contexts.joining_context(ca.certificate_pem)
            joined = await remote.ask(address, protocol.JOIN, asked, protocol.Joined, context=context)
        except remote.Unreachable as error:
            failure = NodeUnavailable(str(error))
        except SwarmError as error:
            failure = error
        else:
            return ca.certificate_pem, joined
    raise failure
