"""Join tokens: ``SWMTKN-1-<digest of the CA>-<secret>``, the numbers in base 36, padded to 50 and 25 digits.

The digest lets a joiner know the cluster's CA before it trusts anyone; which of the two tokens it is, and so which role
the joiner gets, is known by the secret alone. Source: swarmkit ``ca/config.go`` (GenerateJoinToken, ParseJoinToken).
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass

from swarmd.errors import DaemonError
from swarmd.identity.root import RootCA
from swarmd.model.identity import ALPHABET

PREFIX, VERSION = "SWMTKN", "1"
DIGEST_DIGITS = 50
SECRET_DIGITS = 25
SECRET_BYTES = 16

_SHAPE = re.compile(rf"{PREFIX}-{VERSION}-([0-9a-z]{{{DIGEST_DIGITS}}})-([0-9a-z]{{{SECRET_DIGITS}}})")


@dataclass(frozen=True, repr=False)
class Token:
    digest: bytes
    """SHA-256: see ``RootCA.digest``."""
    secret: bytes

    def __str__(self) -> str:
        digest = _digits(int.from_bytes(self.digest, "big"), DIGEST_DIGITS)
        return f"{PREFIX}-{VERSION}-{digest}-{_digits(int.from_bytes(self.secret, 'big'), SECRET_DIGITS)}"

    def __repr__(self) -> str:
        return f"Token(digest={self.digest.hex()}, secret=…)"


def new(ca: RootCA) -> Token:
    return Token(ca.digest, secrets.token_bytes(SECRET_BYTES))


def parse(text: str) -> Token:
    """
    :raises swarmd.errors.DaemonError: "invalid join token", with status 500 as Docker's daemon has it.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise DaemonError("invalid join token")
    digest, secret = (int(digits, len(ALPHABET)) for digits in match.groups())
    try:
        return Token(digest.to_bytes(32, "big"), secret.to_bytes(SECRET_BYTES, "big"))
    except OverflowError:
        raise DaemonError("invalid join token") from None


def equal(given: str, known: str) -> bool:
    """Whether two tokens are the same, in a time that says nothing about where they differ."""
    return hmac.compare_digest(given.encode(), known.encode())


def _digits(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
