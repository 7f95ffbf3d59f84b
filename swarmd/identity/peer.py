"""Who is at the other end of a connection: what the certificate says that the handshake has verified."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from swarmd.errors import PermissionDenied, Unauthenticated
from swarmd.identity.root import ORGANIZATIONAL_UNITS
from swarmd.model import NodeRole

_ROLES = {unit: role for role, unit in ORGANIZATIONAL_UNITS.items()}


@dataclass(frozen=True)
class Peer:
    node_id: str
    role: NodeRole
    cluster_id: str

    @classmethod
    def of_certificate(cls, certificate: x509.Certificate) -> Peer:
        """
        :raises swarmd.errors.PermissionDenied: it is not a node's certificate.
        """
        role = _ROLES.get(_attribute(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME))
        node_id = _attribute(certificate, NameOID.COMMON_NAME)
        cluster_id = _attribute(certificate, NameOID.ORGANIZATION_NAME)
        if role is None or not node_id or not cluster_id:
            raise PermissionDenied("Permission denied: the remote certificate is not a node's")
        return cls(node_id, role, cluster_id)

    def require(self, role: NodeRole) -> None:
        """
        :raises swarmd.errors.PermissionDenied: the certificate is for another role.
        """
        if self.role is not role:
            unit = ORGANIZATIONAL_UNITS[role]
            raise PermissionDenied(f"Permission denied: remote certificate not part of OUs: [{unit}]")


def peer_of(connection: ssl.SSLObject | ssl.SSLSocket | None, cluster_id: str) -> Peer:
    """
    :param connection: ``transport.get_extra_info("ssl_object")``, from a context that verifies certificates.
    :raises swarmd.errors.Unauthenticated: the peer has shown no certificate, or there is no TLS.
    :raises swarmd.errors.PermissionDenied: it belongs to another cluster, or is not a node's.
    """
    if connection is None:
        raise Unauthenticated("Permission denied: request is not using TLS")
    der = connection.getpeercert(binary_form=True) if connection.context.verify_mode != ssl.CERT_NONE else None
    if der is None:
        raise Unauthenticated("Permission denied: no client certificates in request")
    peer = Peer.of_certificate(x509.load_der_x509_certificate(der))
    if peer.cluster_id != cluster_id:
        raise PermissionDenied(f"Permission denied: remote certificate not part of organization: {cluster_id}")
    return peer


def _attribute(certificate: x509.Certificate, oid: ObjectIdentifier) -> str:
    values = [attribute.value for attribute in certificate.subject.get_attributes_for_oid(oid)]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""
