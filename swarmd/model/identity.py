"""Names of objects: 25 characters of base 36, as swarmkit gives them (identity/randomid.go)."""

from __future__ import annotations

import secrets

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
LENGTH = 25
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]


def new_id() -> str:
    """A new id of 124 random bits, which 24 digits of base 36 hold. 100,000 are made at once, so two digits a step."""
    number = secrets.randbits(124)
    pairs = []
    for _ in range(LENGTH // 2):
        number, pair = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[pair])
    pairs.append(ALPHABET[number])
    pairs.reverse()
    return "".join(pairs)


def short(identity: str) -> str:
    """As the CLI shows it: the first 12 characters."""
    return identity[:12]
