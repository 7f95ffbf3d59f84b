"""Logs of serial consoles, as text for people."""

from __future__ import annotations

import re
from pathlib import Path

LINES = 12
_READ_BYTES = 16384
# Control sequences, operating system commands, and what is left of them (ECMA-48, 5.4 and 8.3.89).
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.?|[\r\x00\x07]")


def tail(log: Path) -> str:
    """The last lines, indented; empty where there is no log."""
    try:
        text = log.read_bytes()[-_READ_BYTES:].decode(errors="replace")
    except OSError:
        return ""
    lines = [line for line in _ESCAPES.sub("", text).splitlines() if line.strip()]
    return "\n".join(f"  {line}" for line in lines[-LINES:])
