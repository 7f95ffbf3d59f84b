"""Secrets that are stored where more than managers could come to see them: sealed by a key that managers alone have.

Authenticated encryption (AES-256-GCM, NIST SP 800-38D) under a key that is derived (HKDF-SHA256, RFC 5869) from one of
the CAs' keys, so that all managers have it without telling each other.
"""

from __future__ import annotations

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from swarmd.errors import Internal
from swarmd.identity.root import load_key

_FORMAT = "1"
_PURPOSE = b"swarmd: sealed values in the store, 1"
_KEY, _NAME, _NONCE = 32, 8, 12
"""Bytes: of the key, of what it is known by, and of what makes each sealing another one."""
_SCALAR = 32
"""Bytes of a private key on P-256."""


class CannotOpen(Internal):
    """A sealed text is damaged, or another cluster's, or was sealed by a key that is not here (``str()`` says which).

    Never says anything of what is in it.
    """


class Vault:
    """Seals and opens. Its texts are ``1.<name of the key>.<nonce, ciphertext, tag>``, in base 64 for URLs."""

    def __init__(self, authority_key: bytes) -> None:
        """
        :param authority_key: PEM. Only its number counts, not how it is written down.
        """
        number = load_key(authority_key).private_numbers().private_value.to_bytes(_SCALAR, "big")
        derived = HKDF(SHA256(), length=_KEY + _NAME, salt=None, info=_PURPOSE).derive(number)
        self._cipher = AESGCM(derived[:_KEY])
        self._name = base64.urlsafe_b64encode(derived[_KEY:]).decode()

    def seal(self, secret: bytes) -> str:
        """Another text each time, also of the same secret."""
        nonce = os.urandom(_NONCE)
        hidden = self._cipher.encrypt(nonce, secret, self._stamp)
        return f"{_FORMAT}.{self._name}.{base64.urlsafe_b64encode(nonce + hidden).decode()}"

    def open(self, sealed: str) -> bytes:
        """
        :raises CannotOpen:
        """
        match sealed.split("."):
            case [form, name, text] if form == _FORMAT:
                pass
            case _:
                raise CannotOpen("it is not sealed in a way that is known here")
        if name != self._name:
            raise CannotOpen("it was sealed by another key")
        try:
            packed = base64.b64decode(text, altchars=b"-_", validate=True)
            return self._cipher.decrypt(packed[:_NONCE], packed[_NONCE:], self._stamp)
        except (binascii.Error, ValueError, InvalidTag):
            raise CannotOpen("it is damaged") from None

    @property
    def _stamp(self) -> bytes:
        """What is not hidden is part of what cannot be changed."""
        return f"{_FORMAT}.{self._name}".encode()
