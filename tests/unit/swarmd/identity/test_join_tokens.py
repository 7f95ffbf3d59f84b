"""Join tokens are Docker's, digit for digit."""

import pytest

from swarmd.errors import DaemonError
from swarmd.identity import RootCA, Token, tokens

GOLDEN = {
    # The example of Docker's documentation; the numbers by Python's int(…, 36).
    "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-7p73s1dx5in4tatdymyhg9hu2": (
        "9529c6f3c5558ac3ec02b338a52d3c5434e0835a8af6f1e124649e87afaa2fb5",
        "820f9e7768c372859f4f1cc72d25568a",
    ),
    f"SWMTKN-1-{'0' * 49}a-{'0' * 24}z": ("0" * 63 + "a", "0" * 30 + "23"),
    "SWMTKN-1-6dp5qcb22im238nr3wvp0ic7q99w035jmy2iw7i6n43d37jtof-f5lxx1zz5pnorynqglhzmsp33": ("f" * 64, "f" * 32),
}


@pytest.mark.parametrize(("text", "numbers"), GOLDEN.items())
def test_a_token_is_read_and_written_as_docker_does(text, numbers):
    token = tokens.parse(text)
    assert (token.digest.hex(), token.secret.hex()) == numbers
    assert str(token) == text


GOOD = next(iter(GOLDEN))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "foo",
        GOOD[:-1],
        GOOD + "0",
        GOOD.upper(),
        GOOD.replace("SWMTKN-1", "SWMTKN-2"),
        GOOD.replace("7p73", "7_73"),
        GOOD + "\n",
        " " + GOOD,
        f"SWMTKN-1-{'z' * 50}-{'0' * 25}",
        f"SWMTKN-1-{'0' * 50}-{'z' * 25}",
        "SWMKEY-1-1xJ5gBbqjJVFfUgkZFgkO2VfJCJRBGVYKJVSVFQqSBw",
    ],
)
def test_what_is_no_token_is_refused_in_dockers_words(text):
    with pytest.raises(DaemonError) as refusal:
        tokens.parse(text)
    assert (str(refusal.value), refusal.value.status) == ("invalid join token", 500)


def test_a_new_token_pins_the_ca():
    ca = RootCA.create()
    one, other = tokens.new(ca), tokens.new(ca)
    assert one.digest == other.digest == ca.digest
    assert one.secret != other.secret
    assert tokens.parse(str(one)) == one


def test_only_the_very_same_token_is_equal():
    assert tokens.equal(GOOD, GOOD)
    assert not tokens.equal(GOOD, GOOD[:-1] + "3")
    assert not tokens.equal("é", GOOD)


def test_a_token_in_a_log_keeps_its_secret():
    assert tokens.parse(GOOD).secret.hex() not in repr(Token(b"", tokens.parse(GOOD).secret))
