"""The CAs' keys on a manager's disk, and what they sign for its etcd."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from swarmd.member import revocation
from swarmd.member.arguments import PeerFiles
from swarmd.node.authority import PEER_LIFE, Authority, NoAuthority, serial_of


@pytest.fixture
def files(tmp_path: Path) -> PeerFiles:
    return PeerFiles(tmp_path / "peer.crt", tmp_path / "peer.key", tmp_path / "ca.crt", tmp_path / "revoked.crl")


def signed(authority: Authority, files: PeerFiles, node_id: str) -> x509.Certificate:
    authority.sign_peer(files, node_id=node_id, cluster_id="cluster", advertise_address="192.168.56.10:2377")
    return x509.load_pem_x509_certificate(files.certificate.read_bytes())


def test_the_keys_are_found_again_and_nobody_else_reads_them(tmp_path: Path):
    authority = Authority.create()
    authority.save(tmp_path)
    assert Authority.load(tmp_path).keys == authority.keys
    assert (tmp_path / "authority.json").stat().st_mode & 0o077 == 0


def test_every_manager_that_has_the_keys_opens_what_another_has_sealed(tmp_path: Path):
    authority = Authority.create()
    authority.save(tmp_path)
    assert Authority.load(tmp_path).vault.open(authority.vault.seal(b"secret")) == b"secret"


def test_a_node_without_the_keys_or_with_damaged_ones_is_told_which(tmp_path: Path):
    with pytest.raises(NoAuthority, match=r"there is no .*authority\.json"):
        Authority.load(tmp_path)
    (tmp_path / "authority.json").write_text('{"root_cert')
    with pytest.raises(NoAuthority, match="is damaged"):
        Authority.load(tmp_path)


def test_peers_are_signed_by_a_ca_of_their_own_for_their_address(files: PeerFiles):
    authority = Authority.create()
    certificate = signed(authority, files, "abc")
    assert authority.peers.has_issued(certificate)
    assert not authority.root.has_issued(certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.168.56.10"]
    assert files.key.stat().st_mode & 0o077 == 0


def test_a_nodes_certificates_are_revoked_by_its_id_and_let_in_again(files: PeerFiles):
    authority = Authority.create()
    first, second = signed(authority, files, "abc"), signed(authority, files, "abc")
    assert first.serial_number == second.serial_number == serial_of("abc") != serial_of("abd")
    authority.revoke(files, {"abc"})
    assert revocation.serials(files.revoked) == {serial_of("abc")}
    authority.revoke(files, set())
    assert revocation.serials(files.revoked) == set()


def test_a_peers_certificate_is_due_at_half_of_its_life(files: PeerFiles):
    authority = Authority.create()
    signed(authority, files, "abc")
    now = datetime.now(UTC)
    assert not authority.is_peer_due(files, now)
    assert authority.is_peer_due(files, now + PEER_LIFE / 2)
