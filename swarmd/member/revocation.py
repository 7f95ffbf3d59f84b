"""The list of removed managers' peer certificates, which etcd reads at every handshake.

Without it a removed manager whose certificate is still valid gets answers from the peer port. etcd looks the serial
numbers up and nothing else (3.5 ``client/pkg/transport/listener_tls.go``); connections that are open stay open.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from swarmd.files import write_atomically

AuthorityKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

VALID = datetime.timedelta(days=3650)
"""etcd does not ask how old a list is; tools that do shall not call a lab's list expired."""


def revocation_list(
    authority: x509.Certificate,
    key: AuthorityKey,
    revoked: Mapping[int, datetime.datetime],
    now: datetime.datetime,
) -> bytes:
    """The list in DER, as ``--peer-crl-file`` wants it.

    :param authority: the peers' CA, which signs the list, with its key.
    :param revoked: serial number of each certificate that is worth nothing, and since when; zones are UTC.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now)
        .next_update(now + VALID)
        .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
    )
    for serial, since in sorted(revoked.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since).build()
        builder = builder.add_revoked_certificate(entry)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.DER)


def write(path: Path, der: bytes) -> None:
    """Replace the list; every handshake from now on sees the new one."""
    write_atomically(path, der)


def serials(path: Path) -> set[int]:
    """What the list on disk revokes; empty where there is none."""
    try:
        return {entry.serial_number for entry in x509.load_der_x509_crl(path.read_bytes())}
    except FileNotFoundError:
        return set()
