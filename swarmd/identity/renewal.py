"""When a node asks for its next certificate, and how it proves who it is when the present one has ended.

A certificate that has ended opens no connection, so the request carries it along with a signature by its key: it says
as much as a handshake would. Only the signer may then decide, from the store, whether that node is still a member.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from swarmd.errors import InvalidArgument, PermissionDenied
from swarmd.identity.peer import Peer
from swarmd.identity.root import RootCA, load_key

EARLIEST, LATEST = 0.5, 0.8
"""Of a certificate's life, as swarmkit's CertLowerRotationRange and CertUpperRotationRange."""

LONGEST_WAIT = timedelta(minutes=1)
"""Timers stand still while a machine sleeps, and know nothing of a clock that is set: look again this often."""

_CONTEXT = b"swarmd certificate renewal\0"


def until_renewal(begin: datetime, end: datetime, *, draw: float, now: datetime) -> timedelta:
    """How long the next renewal is away; zero is: now.

    Now is also when the certificate has ended, or has not begun, which is a clock that has jumped.

    :param draw: at random from [0, 1), once for each certificate, so that nodes which joined together do not renew
        together.
    """
    if now < begin or now >= end:
        return timedelta(0)
    due = begin + (end - begin) * (EARLIEST + (LATEST - EARLIEST) * draw)
    return max(due - now, timedelta(0))


class Renewal(msgspec.Struct, frozen=True):
    """The body of POST /v1/renew; texts are PEM."""

    csr: str
    certificate: str
    signature: str
    """Base 64, by the certificate's key, over the request."""


def ask(csr_pem: bytes, *, certificate_pem: bytes, key_pem: bytes) -> Renewal:
    signature = load_key(key_pem).sign(_CONTEXT + csr_pem, ec.ECDSA(hashes.SHA256()))
    return Renewal(csr_pem.decode(), certificate_pem.decode(), base64.b64encode(signature).decode())


def verify(renewal: Renewal, ca: RootCA, cluster_id: str, *, now: datetime | None = None) -> Peer:
    """Who asks. That it is still a member is for the caller to see; an old request gives nothing to who repeats it,
    since the key that it asks for is its maker's.

    :raises swarmd.errors.InvalidArgument: the request cannot be read.
    :raises swarmd.errors.PermissionDenied: the certificate is not this cluster's, or its holder did not sign.
    """
    now = now or datetime.now(UTC)
    try:
        certificate = x509.load_pem_x509_certificate(renewal.certificate.encode())
        signature = base64.b64decode(renewal.signature, validate=True)
    except (ValueError, binascii.Error) as error:
        raise InvalidArgument("not a request to renew a certificate") from error
    key = certificate.public_key()
    if not ca.has_issued(certificate) or not isinstance(key, ec.EllipticCurvePublicKey):
        raise PermissionDenied("Permission denied: the certificate was issued by another CA")
    if certificate.not_valid_before_utc > now:
        raise PermissionDenied("Permission denied: the certificate is not valid yet; compare the nodes' clocks")
    try:
        key.verify(signature, _CONTEXT + renewal.csr.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise PermissionDenied("Permission denied: the request is not signed by the certificate's holder") from None
    peer = Peer.of_certificate(certificate)
    if peer.cluster_id != cluster_id:
        raise PermissionDenied(f"Permission denied: remote certificate not part of organization: {cluster_id}")
    return peer
