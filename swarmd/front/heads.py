"""Heads of requests and answers: only what decides over the way that a message takes. Nothing is rewritten."""

from __future__ import annotations

import re
from dataclasses import dataclass

from swarmd.front.framing import Chunked, Framing, Length, Malformed, UntilClose

END = b"\r\n\r\n"
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^\x00-\x20\x7f]+) HTTP/1\.([01])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?", re.DOTALL)
_FIELD_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DECIDING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect"))


@dataclass(frozen=True, slots=True)
class Request:
    raw: bytes
    """The whole head, the blank line included, as it came."""
    method: str
    target: str
    body: Framing
    keeps_alive: bool
    """By its version and its Connection field: another request may follow."""
    upgrades: bool
    waits_for_continue: bool


@dataclass(frozen=True, slots=True)
class Answer:
    raw: bytes
    status: int
    body: Framing
    """Of an answer to the request that it was parsed for: none after HEAD."""
    keeps_alive: bool


def parse_request(raw: bytes) -> Request:
    """
    :raises Malformed: the request cannot be told where it belongs, or where its body ends.
    """
    first, fields = _parse(raw)
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise Malformed("its first line is not that of an HTTP/1 request")
    method, target, minor = line.groups()
    return Request(
        raw=raw,
        method=method.decode(),
        target=target.decode("latin-1"),
        body=_framing(fields) or Length(0),
        keeps_alive=_keeps_alive(minor, fields),
        upgrades=b"upgrade" in fields,
        waits_for_continue=fields.get(b"expect", b"").lower() == b"100-continue",
    )


def parse_answer(raw: bytes, method: str) -> Answer:
    """
    :param method: of the request that it answers.
    :raises Malformed:
    """
    first, fields = _parse(raw)
    line = _STATUS_LINE.fullmatch(first)
    if line is None:
        raise Malformed("its first line is not that of an HTTP/1 answer")
    minor, status = line[1], int(line[2])
    bodiless = method == "HEAD" or status < 200 or status in (204, 304)
    return Answer(
        raw=raw,
        status=status,
        body=Length(0) if bodiless else _framing(fields) or UntilClose(),
        keeps_alive=_keeps_alive(minor, fields),
    )


def _parse(raw: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """The first line, and the fields that decide something, by lower-case name; repeated ones joined by commas."""
    first, *lines = raw[: -len(END)].split(b"\r\n")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _FIELD_NAME.fullmatch(name):
            raise Malformed("a line of its head is not a header field")
        name = name.lower()
        if name in _DECIDING:
            value = value.strip()
            fields[name] = fields[name] + b"," + value if name in fields else value
    return first, fields


def _framing(fields: dict[bytes, bytes]) -> Framing | None:
    codings = [coding.strip() for coding in fields.get(b"transfer-encoding", b"").lower().split(b",") if coding.strip()]
    if codings:
        if codings != [b"chunked"]:
            raise Malformed("its transfer encoding is not chunked")
        return Chunked()
    if b"content-length" not in fields:
        return None
    lengths = {length.strip() for length in fields[b"content-length"].split(b",")}
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 18:
        raise Malformed("its content length is not one number")
    return Length(int(length))


def _keeps_alive(minor: bytes, fields: dict[bytes, bytes]) -> bool:
    options = {option.strip() for option in fields.get(b"connection", b"").lower().split(b",")}
    return b"close" not in options if minor == b"1" else b"keep-alive" in options
