"""A certificate authority of the cluster: it makes nodes' certificates, and says in whom they trust.

The cluster has two of them: the one that all nodes know (``swarm-ca``), and one that only managers know, for etcd's
peers (``etcd-peers``). Shapes are those of swarmkit's ``ca/certificates.go``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarmd.errors import InvalidArgument
from swarmd.model import NodeRole, TLSInfo

CLUSTER_CA = "swarm-ca"
PEERS_CA = "etcd-peers"

ROOT_LIFE = timedelta(days=7300)
BACKDATED = timedelta(hours=1)
"""A certificate is valid before it was made by this much, for nodes whose clock is behind."""

ORGANIZATIONAL_UNITS = {NodeRole.WORKER: "swarm-worker", NodeRole.MANAGER: "swarm-manager"}
"""What a certificate says of its holder's role; also a DNS name in it, by which a client knows a manager."""

MANAGER_NAME = ORGANIZATIONAL_UNITS[NodeRole.MANAGER]


def new_key() -> bytes:
    """A private key (P-256), as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """
    :raises ValueError: it is no private key on an elliptic curve.
    """
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not a private key on an elliptic curve")  # noqa: TRY004
    return key


def new_request(key_pem: bytes) -> bytes:
    """A request for a certificate of this key, as PEM. It names nobody: who asks is decided by who signs."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(load_key(key_pem), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def pem_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class RootCA:
    certificate_pem: bytes
    """One certificate, or several while the cluster changes its CA: the first is the one that signs."""
    key_pem: bytes | None = None
    """Known to managers alone."""

    @classmethod
    def create(cls, common_name: str = CLUSTER_CA, *, now: datetime | None = None) -> RootCA:
        now = now or datetime.now(UTC)
        key_pem = new_key()
        key = load_key(key_pem)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + ROOT_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(pem_of(certificate), key_pem)

    @classmethod
    def from_pem(cls, certificate_pem: bytes, key_pem: bytes | None = None) -> RootCA:
        """
        :raises ValueError: not certificates that sign themselves, or the key is not the first one's.
        """
        certificates = x509.load_pem_x509_certificates(certificate_pem)
        for certificate in certificates:
            try:
                certificate.verify_directly_issued_by(certificate)
            except InvalidSignature:
                raise ValueError("a root certificate has not signed itself") from None
        if key_pem is not None and load_key(key_pem).public_key() != certificates[0].public_key():
            raise ValueError("the CA's key is not its certificate's")
        return cls(b"".join(map(pem_of, certificates)), key_pem)

    @property
    def certificates(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(self.certificate_pem)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the PEM text, which is what join tokens hold: swarmkit takes ``digest.FromBytes`` of the bundle
        in its normal form (no comments, one newline at the end), not of the DER."""
        return hashlib.sha256(self.certificate_pem).digest()

    def tls_info(self) -> TLSInfo:
        """What a node whose certificate this CA has made says of it, and what the cluster says of itself."""
        issuer = self.certificates[0]
        public_key = issuer.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return TLSInfo(
            trust_root=self.certificate_pem.decode(),
            cert_issuer_subject=base64.b64encode(issuer.subject.public_bytes()).decode(),
            cert_issuer_public_key=base64.b64encode(public_key).decode(),
        )

    def sign(
        self,
        csr_pem: bytes,
        *,
        node_id: str,
        role: NodeRole,
        cluster_id: str,
        valid_for: timedelta,
        now: datetime | None = None,
        sans: Sequence[IPv4Address | IPv6Address] = (),
        serial: int | None = None,
    ) -> bytes:
        """A certificate for the key of the request, and nothing else of the request; then the CA's own. PEM.

        :param sans: addresses that clients check beside the names: etcd's peers do.
        :param serial: instead of one at random.
        :raises swarmd.errors.InvalidArgument: it is no request, its key is not on P-256, or it is not signed by it.
        :raises ValueError: this CA's key is not here.
        """
        if self.key_pem is None:
            raise ValueError("this node does not have the CA's key")
        now = now or datetime.now(UTC)
        public_key = _requested_key(csr_pem)
        issuer = self.certificates[0]
        issuer_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        unit = ORGANIZATIONAL_UNITS[role]
        names: list[x509.GeneralName] = [x509.DNSName(unit), x509.DNSName(node_id)]
        if role is NodeRole.MANAGER:
            names.append(x509.DNSName(CLUSTER_CA))
        names += [x509.IPAddress(address) for address in sans]
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster_id),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
                x509.NameAttribute(NameOID.COMMON_NAME, node_id),
            ]
        )
        both_ways = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject)
            .public_key(public_key)
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + valid_for)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(both_ways, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(load_key(self.key_pem), hashes.SHA256())
        )
        return pem_of(certificate) + pem_of(issuer)

    def has_issued(self, certificate: x509.Certificate) -> bool:
        """Whether one of this CA's roots has signed it; its life is another question."""
        for root in self.certificates:
            try:
                certificate.verify_directly_issued_by(root)
            except (InvalidSignature, ValueError, TypeError):
                continue
            return True
        return False


def _requested_key(csr_pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        key = request.public_key()
        sound = request.is_signature_valid
    except Exception as error:  # cryptography raises a dozen kinds for what strangers may send
        raise InvalidArgument("not a certificate signing request") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidArgument("a certificate is given to keys on P-256 only")
    if not sound:
        raise InvalidArgument("the certificate signing request is not signed by its own key")
    return key


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_encipherment=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
