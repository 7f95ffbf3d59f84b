"""Who comes into the cluster, and with which certificate. Any manager answers; the store decides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from swarmd.errors import InvalidArgument, Lost, NodeUnavailable, PermissionDenied
from swarmd.identity import renewal, tokens
from swarmd.identity.root import RootCA
from swarmd.model import Availability, Cluster, Node, NodeRole, NodeSpec, new_id
from swarmd.node.protocol import Join, Joined, Renewed
from swarmd.store import Entry, Kind, Put, Snapshot, Store, Unchanged
from swarmd.wire import Manager

log = structlog.get_logger()

REFUSED = "A valid join token is necessary to join this cluster"


class Registrar:
    """
    :param managers: the present ones, for the joiner to know whom to turn to.
    """

    def __init__(self, store: Store, root: RootCA, managers: Callable[[], list[Manager]]) -> None:
        self._store, self._root, self._managers = store, root, managers

    async def join(self, request: Join) -> Joined:
        """Make the asking machine a node, in the role that its token gives.

        :raises InvalidArgument: the token is not this cluster's, or not its present one.
        """
        cluster = self._cluster(await self._store.fresh())
        role = _role_of(request.token, cluster.value)
        try:
            availability = Availability(request.availability or "active")
        except ValueError:
            raise InvalidArgument(f"Invalid availability: {request.availability!r}") from None
        node_id = new_id()
        certificate = self._sign(request.csr, node_id, role, cluster.value)
        now = datetime.now(UTC)
        node = Node(node_id, NodeSpec(role=role.value, availability=availability), role, now, now)
        try:
            # The token may be rotated at this very moment: then it was worth nothing.
            await self._store.commit(
                [Put(Kind.NODE, node_id, node)],
                guards=[
                    Unchanged(Kind.NODE, node_id, 0),
                    Unchanged(Kind.CLUSTER, cluster.value.id, cluster.version),
                ],
            )
        except Lost:
            return await self.join(request)
        log.info("a node has joined", node=node_id, role=role.value)
        return Joined(node_id, certificate, role.value, self._managers())

    async def renew(self, request: renewal.Renewal) -> Renewed:
        """The next certificate of a node, in the role that it has now. Its present one may have ended.

        :raises PermissionDenied: it is no node of this cluster, or not any more.
        """
        snapshot = await self._store.fresh()
        cluster = self._cluster(snapshot)
        peer = renewal.verify(request, self._root, cluster.value.id)
        node = snapshot.nodes.get(peer.node_id)
        if node is None:
            raise PermissionDenied("Permission denied: the node has been removed from the cluster")
        return Renewed(self._sign(request.csr, peer.node_id, node.value.role, cluster.value))

    def _sign(self, csr: str, node_id: str, role: NodeRole, cluster: Cluster) -> str:
        life = timedelta(microseconds=cluster.spec.ca_config.node_cert_expiry / 1000)
        return self._root.sign(csr.encode(), node_id=node_id, role=role, cluster_id=cluster.id, valid_for=life).decode()

    @staticmethod
    def _cluster(snapshot: Snapshot) -> Entry[Cluster]:
        if snapshot.cluster is None:
            raise NodeUnavailable("this manager's cluster is still being made")
        return snapshot.cluster


def _role_of(token: str, cluster: Cluster) -> NodeRole:
    known = {NodeRole.MANAGER: cluster.manager_token, NodeRole.WORKER: cluster.worker_token}
    # Both are compared whatever the first says, so that the time tells nothing.
    matching = [role for role, one in known.items() if tokens.equal(token, one)]
    if not matching:
        raise InvalidArgument(REFUSED)
    return matching[0]
