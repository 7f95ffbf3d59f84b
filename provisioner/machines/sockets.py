"""How long the path of a unix socket may be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from provisioner.errors import UsageError
from provisioner.state import HOME_VARIABLE

PATH_BYTES = 107  # unix(7): 108 with the zero byte at the end


def require_short(paths: Iterable[Path]) -> None:
    """:raises UsageError: one is too long; the folder of labs, or the names in it, must be shorter."""
    longest = max(paths, key=_length)
    if _length(longest) > PATH_BYTES:
        raise UsageError(
            f"{longest} would be {_length(longest)} bytes long, and a socket's path may have {PATH_BYTES}",
            hint=f"name a shorter folder in {HOME_VARIABLE}, or give the lab or the machine a shorter name",
        )


def _length(path: Path) -> int:
    return len(str(path).encode())
