"""When certificates are renewed, and what renews one that has ended."""

from datetime import UTC, datetime, timedelta

import pytest

from swarmd.errors import InvalidArgument, PermissionDenied
from swarmd.identity import Peer, new_key, new_request, renewal
from swarmd.model import NodeRole

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=100)


def day(number):
    return BEGIN + timedelta(days=number)


@pytest.mark.parametrize(
    ("draw", "now", "days"),
    [
        (0.0, day(0), 50),
        (0.5, day(0), 65),
        (1.0, day(0), 80),
        (0.5, day(60), 5),
        (0.5, day(65), 0),
        (0.5, day(99), 0),
        (0.0, day(100), 0),
        (0.0, day(300), 0),
        (0.9, day(-1), 0),
    ],
)
def test_it_is_due_between_half_and_four_fifths_of_the_life_or_at_once(draw, now, days):
    assert renewal.until_renewal(BEGIN, END, draw=draw, now=now) == timedelta(days=days)


def asked(credentials, csr=None):
    csr = csr or new_request(new_key())
    return renewal.ask(csr, certificate_pem=credentials.certificate_pem, key_pem=credentials.key_pem)


def test_who_has_the_key_of_an_ended_certificate_is_known(issuer):
    credentials = issuer.install(now=datetime.now(UTC) - timedelta(days=200))
    peer = renewal.verify(asked(credentials), issuer.ca, "cluster1")
    assert peer == Peer("node1", NodeRole.WORKER, "cluster1")


def test_who_only_has_the_certificate_is_refused(issuer):
    credentials = issuer.install()
    theft = renewal.ask(new_request(new_key()), certificate_pem=credentials.certificate_pem, key_pem=new_key())
    with pytest.raises(PermissionDenied, match="not signed by the certificate's holder"):
        renewal.verify(theft, issuer.ca, "cluster1")


def test_a_request_is_for_one_key_only(issuer):
    credentials = issuer.install()
    honest = asked(credentials)
    swapped = renewal.Renewal(new_request(new_key()).decode(), honest.certificate, honest.signature)
    with pytest.raises(PermissionDenied):
        renewal.verify(swapped, issuer.ca, "cluster1")


def test_another_clusters_certificate_is_refused(issuer, foreign):
    with pytest.raises(PermissionDenied, match="another CA"):
        renewal.verify(asked(foreign.install()), issuer.ca, "cluster1")
    with pytest.raises(PermissionDenied, match="not part of organization: cluster3"):
        renewal.verify(asked(issuer.install()), issuer.ca, "cluster3")


def test_a_certificate_of_tomorrow_points_at_the_clocks(issuer):
    credentials = issuer.install(now=datetime.now(UTC) + timedelta(days=1))
    with pytest.raises(PermissionDenied, match="clocks"):
        renewal.verify(asked(credentials), issuer.ca, "cluster1")


@pytest.mark.parametrize("field", ["certificate", "signature"])
def test_garbage_is_refused_in_words(issuer, field):
    good = asked(issuer.install())
    texts = {"csr": good.csr, "certificate": good.certificate, "signature": good.signature} | {field: "no €"}
    with pytest.raises(InvalidArgument):
        renewal.verify(renewal.Renewal(**texts), issuer.ca, "cluster1")
