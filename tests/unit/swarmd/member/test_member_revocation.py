"""A removed manager's certificate is worth nothing at the peer ports."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from managers import Authority, Managers, now

from swarmd.member import revocation


def test_the_list_is_signed_by_the_peers_authority():
    authority = Authority()
    der = revocation.revocation_list(authority.certificate, authority.key, {5: now(), 3: now()}, now())
    read = x509.load_der_x509_crl(der)
    public = authority.certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert read.is_signature_valid(public)
    assert sorted(entry.serial_number for entry in read) == [3, 5]


def test_a_list_that_is_not_there_revokes_nothing(tmp_path):
    assert revocation.serials(tmp_path / "none") == set()


async def test_a_revoked_certificate_is_shut_out_at_once(managers: Managers):
    first, second = await managers.cluster(2)
    removed = await managers.make("removed")
    assert await removed.probe.answers(first.url)

    serial = x509.load_pem_x509_certificate(removed.config.peers.certificate.read_bytes()).serial_number
    managers.authority.revoke(first.config.peers, {serial: now()})
    assert revocation.serials(first.config.peers.revoked) == {serial}
    again = await managers.make("removed-again")  # another session: open connections stay open
    again.config.peers.certificate.write_bytes(removed.config.peers.certificate.read_bytes())
    again.config.peers.key.write_bytes(removed.config.peers.key.read_bytes())
    assert not await again.probe.answers(first.url)
    assert await again.probe.answers(second.url)  # each manager has a list of its own to be rewritten
    assert await second.probe.answers(first.url)


async def test_a_stranger_is_not_answered(managers: Managers):
    first = await managers.first()
    stranger = await managers.make("stranger")
    foreign = Authority().issue("stranger", managers.folder / "foreign")
    stranger.config.peers.certificate.write_bytes(foreign.certificate.read_bytes())
    stranger.config.peers.key.write_bytes(foreign.key.read_bytes())
    assert not await stranger.probe.answers(first.url)
