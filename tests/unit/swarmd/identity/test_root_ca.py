"""What the cluster's CA puts its name to."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarmd.errors import InvalidArgument
from swarmd.identity import PEERS_CA, RootCA, new_key, new_request
from swarmd.model import NodeRole

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def signed(ca, role=NodeRole.WORKER, **given):
    chain = ca.sign(
        new_request(new_key()),
        **{"node_id": "node1", "role": role, "cluster_id": "cluster1", "valid_for": timedelta(days=90), "now": NOW}
        | given,
    )
    return x509.load_pem_x509_certificates(chain)


def names_in(certificate):
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_the_root_is_named_as_dockers_and_lives_for_twenty_years():
    root = RootCA.create(now=NOW).certificates[0]
    assert root.subject.rfc4514_string() == "CN=swarm-ca"
    assert root.not_valid_after_utc == NOW + timedelta(days=20 * 365)
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_certificate_says_node_role_and_cluster():
    certificate, issuer = signed(RootCA.create(now=NOW), NodeRole.MANAGER)
    assert {a.oid: a.value for a in certificate.subject} == {
        NameOID.COMMON_NAME: "node1",
        NameOID.ORGANIZATIONAL_UNIT_NAME: "swarm-manager",
        NameOID.ORGANIZATION_NAME: "cluster1",
    }
    certificate.verify_directly_issued_by(issuer)


def test_it_is_backdated_by_an_hour_and_ends_after_the_given_time():
    certificate, _ = signed(RootCA.create(now=NOW))
    assert certificate.not_valid_before_utc == NOW - timedelta(hours=1)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=90)


def test_it_serves_both_sides_of_a_connection():
    certificate, _ = signed(RootCA.create(now=NOW))
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


@pytest.mark.parametrize(
    ("role", "names"),
    [
        (NodeRole.WORKER, ["swarm-worker", "node1"]),
        (NodeRole.MANAGER, ["swarm-manager", "node1", "swarm-ca"]),
    ],
)
def test_only_managers_bear_the_cas_name(role, names):
    certificate, _ = signed(RootCA.create(now=NOW), role)
    assert names_in(certificate).get_values_for_type(x509.DNSName) == names


def test_a_peer_of_etcd_bears_its_addresses():
    address = ip_address("192.168.56.10")
    certificate, issuer = signed(RootCA.create(PEERS_CA, now=NOW), NodeRole.MANAGER, sans=[address])
    assert names_in(certificate).get_values_for_type(x509.IPAddress) == [address]
    assert issuer.subject.rfc4514_string() == "CN=etcd-peers"


def test_nothing_of_the_request_counts_but_its_key():
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "swarm-manager")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain = RootCA.create().sign(
        request.public_bytes(serialization.Encoding.PEM),
        node_id="node1",
        role=NodeRole.WORKER,
        cluster_id="cluster1",
        valid_for=timedelta(days=1),
    )
    certificate = x509.load_pem_x509_certificate(chain)
    assert certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)[0].value == "swarm-worker"
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.public_key() == key.public_key()


def request_with(key):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def forged():
    """A request for one key, signed by another: a byte of its signature is changed."""
    der = bytearray(base64.b64decode("".join(new_request(new_key()).decode().splitlines()[1:-1])))
    der[-1] ^= 1
    text = base64.b64encode(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n".encode()


@pytest.mark.parametrize(
    "request_pem",
    [
        b"",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        request_with(rsa.generate_private_key(65537, 2048)),
        request_with(ec.generate_private_key(ec.SECP521R1())),
        forged(),
    ],
    ids=["empty", "garbage", "rsa", "another curve", "forged"],
)
def test_other_requests_are_refused(request_pem):
    with pytest.raises(InvalidArgument):
        RootCA.create().sign(
            request_pem, node_id="n", role=NodeRole.WORKER, cluster_id="c", valid_for=timedelta(days=1)
        )


def test_without_its_key_a_ca_signs_nothing():
    known = RootCA.from_pem(RootCA.create().certificate_pem)
    with pytest.raises(ValueError, match="does not have the CA's key"):
        signed(known)


def test_the_digest_is_of_the_text_in_its_normal_form():
    ca = RootCA.create()
    assert ca.digest == hashlib.sha256(ca.certificate_pem).digest()
    assert RootCA.from_pem(b"Some comment\r\n" + ca.certificate_pem + b"\n\n").digest == ca.digest


def test_a_ca_is_restored_from_its_texts():
    ca = RootCA.create()
    assert RootCA.from_pem(ca.certificate_pem, ca.key_pem) == ca


def test_a_key_of_another_ca_is_refused():
    with pytest.raises(ValueError, match="key is not its certificate's"):
        RootCA.from_pem(RootCA.create().certificate_pem, RootCA.create().key_pem)


def test_a_nodes_certificate_is_no_ca():
    leaf = RootCA.create().sign(
        new_request(new_key()), node_id="n", role=NodeRole.MANAGER, cluster_id="c", valid_for=timedelta(days=1)
    )
    with pytest.raises(ValueError, match="issuer"):
        RootCA.from_pem(leaf)


def test_tls_info_is_what_the_cli_compares():
    ca = RootCA.create()
    info, root = ca.tls_info(), ca.certificates[0]
    assert info.trust_root == ca.certificate_pem.decode()
    assert base64.b64decode(info.cert_issuer_subject) == root.subject.public_bytes()
    der = root.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert base64.b64decode(info.cert_issuer_public_key) == der
