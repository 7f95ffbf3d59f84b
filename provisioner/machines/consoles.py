"""Logs of hosts' consoles, as text for people."""

from __future__ import annotations

import os
import re
from pathlib import Path

LINES = 12
_READ_BYTES = 16384
# Control sequences, operating system commands, and what is left of them (ECMA-48, 5.4 and 8.3.89).
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.?|[\r\x00\x07]")


def tail(log: Path) -> str:
    """The last lines, indented; empty where there are none."""
    return "\n".join(f"  {line}" for line in _lines(log)[-LINES:])


def last_line(log: Path) -> str:
    return "".join(_lines(log)[-1:]).strip()


def _lines(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _READ_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in _ESCAPES.sub("", text).splitlines() if line.strip()]
