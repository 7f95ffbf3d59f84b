"""Where a body ends: by length, by chunks, or with the connection (RFC 9112, 6). The bytes stay as they are."""

from __future__ import annotations

from typing import Protocol

LONGEST_CHUNK_LINE = 16 << 10
"""Bytes of a chunk's size with its extensions."""
LONGEST_TRAILERS = 1 << 20
_WINDOW = 64


class Malformed(Exception):
    """What was read is not HTTP/1; ``str()`` says in a few words what is wrong with it."""


class Framing(Protocol):
    """How much of what comes belongs to a body; keeps its place from piece to piece."""

    @property
    def done(self) -> bool: ...

    @property
    def ends_with_connection(self) -> bool: ...

    def take(self, data: memoryview) -> int:
        """How many bytes at the start of ``data`` are the body's.

        :raises Malformed: the chunks cannot be told apart.
        """


class Length:
    ends_with_connection = False

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def done(self) -> bool:
        return self._left == 0

    def take(self, data: memoryview) -> int:
        taken = min(self._left, len(data))
        self._left -= taken
        return taken


class UntilClose:
    done = False
    ends_with_connection = True

    def take(self, data: memoryview) -> int:
        return len(data)


class Chunked:
    """Chunks up to the one of size 0, and the trailers after it."""

    ends_with_connection = False

    def __init__(self) -> None:
        self.done = False
        self._line = b""
        self._left = 0
        """Bytes of the present chunk that are still to come, its line end included."""
        self._in_trailers = False
        self._trailers = 0

    def take(self, data: memoryview) -> int:
        at = 0
        while at < len(data) and not self.done:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            piece = bytes(data[at : at + _WINDOW])
            end = piece.find(b"\n") + 1
            self._line += piece[:end] if end else piece
            at += end or len(piece)
            if len(self._line) + self._trailers > (LONGEST_TRAILERS if self._in_trailers else LONGEST_CHUNK_LINE):
                raise Malformed("the line before a chunk is too long")
            if end:
                self._end_line()
        return at

    def _end_line(self) -> None:
        line, self._line = self._line.strip(), b""
        if self._in_trailers:
            self._trailers += len(line)
            self.done = not line
            return
        digits = line.partition(b";")[0].strip()
        if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
            raise Malformed("a chunk's size is not a number")
        size = int(digits, 16)
        self._in_trailers = size == 0
        self._left = size + 2 if size else 0
