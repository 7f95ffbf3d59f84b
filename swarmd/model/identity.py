"""Names of objects: 25 characters of base 36, as swarmkit gives them (identity/randomid.go)."""

from __future__ import annotations

import secrets

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
LENGTH = 25


def new_id() -> str:
    """A new id of 124 random bits, which is the most that 25 digits of base 36 always hold."""
    number = secrets.randbits(124)
    digits = []
    for _ in range(LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def short(identity: str) -> str:
    """As the CLI shows it: the first 12 characters."""
    return identity[:12]
