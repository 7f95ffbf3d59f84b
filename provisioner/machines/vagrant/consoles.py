"""Logs of serial consoles, as text for people."""

from __future__ import annotations

import re
from pathlib import Path

LINES = 12
_READ_BYTES = 16384
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc?|[\r\x00]")


def tail(log: Path) -> str:
    """The last lines, indented; empty where there is no log."""
    try:
        text = log.read_bytes()[-_READ_BYTES:].decode(errors="replace")
    except OSError:
        return ""
    lines = [line for line in _ESCAPES.sub("", text).splitlines() if line.strip()]
    return "\n".join(f"  {line}" for line in lines[-LINES:])
