"""A node's key and certificate on disk: they always match, or are healed, or are said to be missing."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from swarmd.identity import Credentials, NoCredentials, RootCA
from swarmd.identity.credentials import CURRENT, PREVIOUS
from swarmd.model import NodeRole


def mode(path):
    return path.stat().st_mode & 0o777


def test_they_are_restored_with_what_they_say(issuer):
    made = issuer.install("node1", NodeRole.MANAGER)
    loaded = Credentials.load(issuer.folder / "node1")
    assert (loaded.node_id, loaded.role, loaded.cluster_id) == ("node1", NodeRole.MANAGER, "cluster1")
    assert (loaded.key_pem, loaded.certificate_pem) == (made.key_pem, made.certificate_pem)
    assert loaded.ca == RootCA.from_pem(issuer.ca.certificate_pem)
    assert loaded.tls_info() == issuer.ca.tls_info()


def test_only_their_owner_may_read_them(issuer):
    credentials = issuer.install()
    credentials.renew(**issuer.pair())
    assert mode(credentials.path.parent) == 0o700
    assert [mode(file) for file in credentials.path.parent.iterdir()] == [0o600, 0o600]


def test_without_them_the_node_is_in_no_cluster(tmp_path):
    with pytest.raises(NoCredentials, match="there is no"):
        Credentials.load(tmp_path)


def test_an_ended_certificate_is_loaded_like_any_other(issuer):
    long_ago = datetime.now(UTC) - timedelta(days=200)
    issuer.install(now=long_ago)
    assert Credentials.load(issuer.folder / "node1").end == (long_ago + timedelta(days=90)).replace(microsecond=0)


def lose_the_key(text, other):
    return text[text.index(b"-----BEGIN CERTIFICATE") :]


def take_anothers_key(text, other):
    return other[: other.index(b"-----BEGIN CERTIFICATE")] + lose_the_key(text, other)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text, other: b"",
        lambda text, other: text[: len(text) // 2],
        lambda text, other: text[:-40],
        lambda text, other: bytes(len(text)),
        lose_the_key,
        take_anothers_key,
    ],
    ids=["empty", "half", "end missing", "zeros", "no key", "key of another"],
)
def test_a_damaged_file_is_healed_from_the_generation_before(issuer, damage):
    credentials = issuer.install()
    before = credentials.certificate_pem
    credentials.renew(**issuer.pair())
    other = issuer.install("node2").path.read_bytes()
    credentials.path.write_bytes(damage(credentials.path.read_bytes(), other))

    assert Credentials.load(issuer.folder / "node1").certificate_pem == before
    (issuer.folder / "node1" / PREVIOUS).unlink()
    assert Credentials.load(issuer.folder / "node1").certificate_pem == before


def test_a_damaged_file_never_becomes_the_generation_before(issuer):
    credentials = issuer.install()
    first = credentials.certificate_pem
    credentials.renew(**issuer.pair())
    credentials.path.write_bytes(b"")
    credentials.renew(**issuer.pair())
    credentials.path.write_bytes(b"")
    assert Credentials.load(issuer.folder / "node1").certificate_pem == first


def test_with_both_damaged_it_says_so(issuer):
    credentials = issuer.install()
    credentials.renew(**issuer.pair())
    (issuer.folder / "node1" / CURRENT).write_bytes(b"x")
    (issuer.folder / "node1" / PREVIOUS).write_bytes(b"y")
    with pytest.raises(NoCredentials, match=r"node\.pem is damaged .* and so is the generation before"):
        Credentials.load(issuer.folder / "node1")


def test_a_write_that_died_leaves_nothing_behind_for_ever(issuer):
    credentials = issuer.install()
    leftover = credentials.path.with_name(f".{CURRENT}.x1y2")
    leftover.write_bytes(credentials.key_pem)
    credentials.renew(**issuer.pair())
    assert Credentials.load(issuer.folder / "node1").certificate_pem == credentials.certificate_pem
    credentials.remove()
    assert not leftover.exists()


def test_a_first_certificate_has_no_generation_before(issuer):
    """A node that left and joined another cluster must never heal into the one that it left."""
    issuer.install().renew(**issuer.pair())
    issuer.install()
    assert not (issuer.folder / "node1" / PREVIOUS).exists()


def test_only_this_nodes_next_certificate_is_taken(issuer, foreign):
    credentials = issuer.install()
    before = credentials.path.read_bytes()
    with pytest.raises(ValueError, match="another node's"):
        credentials.renew(**issuer.pair("node2"))
    with pytest.raises(ValueError, match="another CA"):
        credentials.renew(**foreign.pair())
    with pytest.raises(ValueError, match="key is not the certificate's"):
        credentials.renew(**issuer.pair() | {"key_pem": credentials.key_pem})
    assert credentials.path.read_bytes() == before


def test_a_new_role_comes_with_a_renewal(issuer):
    credentials = issuer.install()
    credentials.renew(**issuer.pair("node1", NodeRole.MANAGER))
    assert credentials.role is NodeRole.MANAGER


def test_roots_are_all_kept_while_the_cluster_changes_its_ca(issuer, foreign):
    credentials = issuer.install()
    both = foreign.ca.certificate_pem + issuer.ca.certificate_pem
    credentials.renew(ca_pem=both, **issuer.pair())
    loaded = Credentials.load(issuer.folder / "node1")
    assert loaded.ca.certificates == x509.load_pem_x509_certificates(both)


def test_forgotten_is_forgotten(issuer):
    credentials = issuer.install()
    credentials.renew(**issuer.pair())
    credentials.remove()
    with pytest.raises(NoCredentials):
        Credentials.load(issuer.folder / "node1")
