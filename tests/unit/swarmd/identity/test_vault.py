"""What managers seal."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.identity import CannotOpen, Vault, new_key
from swarmd.identity.root import load_key

KEY = new_key()


@settings(deadline=None)
@given(st.binary(max_size=100_000))
def test_what_is_sealed_is_opened_again(secret):
    sealed = Vault(KEY).seal(secret)
    assert Vault(KEY).open(sealed) == secret
    assert len(sealed) < len(secret) * 4 / 3 + 60


def test_nothing_of_the_secret_is_in_the_text():
    secret = b"hunter2-hunter2-hunter2"
    sealed = Vault(KEY).seal(secret)
    packed = base64.urlsafe_b64decode(sealed.rpartition(".")[2])
    assert not [start for start in range(len(secret) - 3) if secret[start : start + 4] in packed + sealed.encode()]


def test_the_same_secret_is_another_text_each_time():
    vault = Vault(KEY)
    assert vault.seal(b"secret") != vault.seal(b"secret")


def test_how_the_key_is_written_down_does_not_matter():
    """An authority's file may be written anew by another version, or another library."""
    traditional = load_key(KEY).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    assert traditional != KEY
    assert Vault(traditional).open(Vault(KEY).seal(b"secret")) == b"secret"


def test_another_clusters_managers_cannot_open_it():
    with pytest.raises(CannotOpen, match="sealed by another key"):
        Vault(new_key()).open(Vault(KEY).seal(b"secret"))


@pytest.mark.parametrize("text", ["", "secret", "2.a.b", "1.a", "1.a.b.c"])
def test_what_was_never_sealed_is_not_opened(text):
    with pytest.raises(CannotOpen, match="not sealed in a way that is known here"):
        Vault(KEY).open(text)


@settings(deadline=None)
@given(st.data())
def test_nothing_else_can_be_made_of_it(data):
    vault = Vault(KEY)
    sealed = vault.seal(b"secrets!")  # its base 64 has no bits to spare
    assert not sealed.endswith("=")
    place = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.sampled_from("AbZ09-_.=é").filter(lambda letter: letter != sealed[place]))
    with pytest.raises(CannotOpen) as refused:
        vault.open(sealed[:place] + other + sealed[place + 1 :])
    assert "secrets!" not in str(refused.value)


@pytest.mark.parametrize("kept", range(12))
def test_a_text_that_was_cut_off_is_damaged(kept):
    form, name, _ = Vault(KEY).seal(b"secret").split(".")
    with pytest.raises(CannotOpen, match="damaged"):
        Vault(KEY).open(f"{form}.{name}.{'A' * kept}")
