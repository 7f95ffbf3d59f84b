"""A container's log: from the bytes that the engine sends to whole lines.

Every entry is "moment details text". Docker's loggers cut what is longer than 16 KiB into entries, of which only the
last ends with a newline. Without a terminal each entry comes in a frame: stream, three zeros, length, entry. With one
there are no frames, so that nothing but the length of 16 KiB tells where an entry ends within a line.
"""

from __future__ import annotations

import re
import struct
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote_plus

from swarmd.engine.client import Engine
from swarmd.errors import EngineRefused
from swarmd.wire import LONGEST_LINE, LogLine, LogOptions

SILENCE = 20.0
"""Seconds without a byte of a log that is not followed; the engine only has to read a file."""
PART = 16 << 10
"""Bytes of an entry that goes on in the next one (moby/moby ``daemon/logger/copier.go``)."""

_FRAME = struct.Struct(">BxxxL")
_STDOUT, _STDERR, _SYSTEM_ERROR = 1, 2, 3
_HEAD = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) [^ \n]* ")


async def log_lines(
    engine: Engine, container: str, options: LogOptions, *, has_terminal: bool
) -> AsyncGenerator[list[LogLine], None]:
    """Lines as they come together.

    :raises swarmd.errors.EngineUnreachable:
    :raises swarmd.errors.EngineRefused: there is no such container, or its log driver does not give anything back.
    """
    reader: Reader = TerminalReader() if has_terminal else FrameReader()
    silence = None if options.follow else SILENCE
    async with engine.logs(container, _query(options), silence=silence) as pieces, aclosing(pieces) as coming:
        async for piece in coming:
            if lines := list(reader.feed(piece)):
                yield lines
    if lines := list(reader.rest()):
        yield lines


def _query(options: LogOptions) -> dict[str, str]:
    query = {
        "stdout": str(int(options.stdout)),
        "stderr": str(int(options.stderr)),
        "follow": str(int(options.follow)),
        "timestamps": "1",
        "details": "1",
        "tail": "all" if options.tail < 0 else str(options.tail),
    }
    return {**query, "since": options.since} if options.since else query


class Reader(Protocol):
    def feed(self, piece: bytes) -> Iterator[LogLine]: ...
    def rest(self) -> Iterator[LogLine]:
        """What has come without an end, when no more comes."""


@dataclass
class _Unfinished:
    """A line of which some entries have come."""

    moment: str
    details: dict[str, str]
    text: bytearray


class FrameReader:
    def __init__(self) -> None:
        self._waiting = bytearray()
        self._unfinished: dict[int, _Unfinished] = {}

    def feed(self, piece: bytes) -> Iterator[LogLine]:
        self._waiting += piece
        begin = 0
        while len(self._waiting) >= begin + _FRAME.size:
            stream, length = _FRAME.unpack_from(self._waiting, begin)
            end = begin + _FRAME.size + length
            if len(self._waiting) < end:
                break
            yield from self._entry(stream, bytes(self._waiting[begin + _FRAME.size : end]))
            begin = end
        del self._waiting[:begin]

    def rest(self) -> Iterator[LogLine]:
        for stream, line in sorted(self._unfinished.items()):
            yield LogLine(stream, line.moment, bytes(line.text) + b"\n", line.details)
        self._unfinished.clear()

    def _entry(self, stream: int, entry: bytes) -> Iterator[LogLine]:
        if stream == _SYSTEM_ERROR:
            raise EngineRefused(500, entry.decode(errors="replace").strip())
        moment, details, text = _parsed(entry)
        begun = self._unfinished.get(stream)
        if begun is None and text.endswith(b"\n"):
            yield LogLine(stream, moment, text, details)
            return
        if begun is None:
            begun = self._unfinished[stream] = _Unfinished(moment, details, bytearray())
        begun.text += text
        if begun.text.endswith(b"\n") or len(begun.text) >= LONGEST_LINE:
            del self._unfinished[stream]
            yield LogLine(stream, begun.moment, _ended(bytes(begun.text)), begun.details)


class TerminalReader:
    """All of it is stdout, since a terminal is one stream."""

    def __init__(self) -> None:
        self._waiting = b""

    def feed(self, piece: bytes) -> Iterator[LogLine]:
        *whole, self._waiting = (self._waiting + piece).split(b"\n")
        for line in whole:
            yield self._line(line + b"\n")
        if len(self._waiting) >= LONGEST_LINE:
            yield from self.rest()

    def rest(self) -> Iterator[LogLine]:
        line, self._waiting = self._waiting, b""
        if line:
            yield self._line(line)

    def _line(self, line: bytes) -> LogLine:
        moment, details, text = _parsed(line)
        end = PART
        while (head := _HEAD.match(text, end)) is not None:
            text = text[:end] + text[head.end() :]
            end += PART
        return LogLine(_STDOUT, moment, _ended(text), details)


def _parsed(entry: bytes) -> tuple[str, dict[str, str], bytes]:
    if _HEAD.match(entry) is None:  # the middle of a line that was too long
        return "", {}, entry
    moment, details, text = entry.split(b" ", 2)
    return moment.decode(), _details(details), text


def _details(text: bytes) -> dict[str, str]:
    if not text:
        return {}
    pairs = (pair.partition("=") for pair in text.decode().split(","))
    return {unquote_plus(key): unquote_plus(value) for key, _, value in pairs}


def _ended(text: bytes) -> bytes:
    return text if text.endswith(b"\n") else text + b"\n"
