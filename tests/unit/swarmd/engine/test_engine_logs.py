"""From the engine's bytes to whole lines. The bytes are as dockerd 26.1 with json-file sends them."""

from __future__ import annotations

import struct

import pytest

from swarmd.engine.logs import PART, FrameReader, TerminalReader
from swarmd.errors import EngineRefused
from swarmd.wire import LONGEST_LINE, LogLine

FIRST, SECOND, THIRD = (f"2026-01-02T03:04:05.{number:09}Z" for number in (1, 2, 3))


def entry(text: bytes, moment: str = FIRST, details: str = "") -> bytes:
    return f"{moment} {details} ".encode() + text


def frame(text: bytes, *, stream: int = 1, moment: str = FIRST, details: str = "") -> bytes:
    body = entry(text, moment, details)
    return struct.pack(">BxxxL", stream, len(body)) + body


def lines(reader: FrameReader | TerminalReader, *pieces: bytes) -> list[LogLine]:
    found = [line for piece in pieces for line in reader.feed(piece)]
    return [*found, *reader.rest()]


def test_each_frame_is_a_line_of_its_stream():
    sent = frame(b"out\n") + frame(b"err\n", stream=2, moment=SECOND)
    assert lines(FrameReader(), sent) == [LogLine(1, FIRST, b"out\n"), LogLine(2, SECOND, b"err\n")]


def test_it_does_not_matter_where_the_bytes_are_parted():
    sent = frame(b"one two\n") + frame(b"\n", moment=SECOND) + frame(b"\xff\x00\n", stream=2, moment=THIRD)
    expected = [LogLine(1, FIRST, b"one two\n"), LogLine(1, SECOND, b"\n"), LogLine(2, THIRD, b"\xff\x00\n")]
    assert lines(FrameReader(), *(bytes([byte]) for byte in sent)) == expected


def test_details_are_what_the_log_driver_notes():
    sent = frame(b"x\n", details="a%2Cb=c+d,env=") + frame(b"y\n")
    assert [line.details for line in lines(FrameReader(), sent)] == [{"a,b": "c d", "env": ""}, {}]


def test_the_parts_of_a_long_line_are_put_together_by_stream():
    sent = [
        frame(b"a" * PART, moment=FIRST),
        frame(b"err\n", stream=2, moment=SECOND),
        frame(b"b" * PART, moment=SECOND),
        frame(b"c\n", moment=THIRD),
    ]
    assert lines(FrameReader(), *sent) == [
        LogLine(2, SECOND, b"err\n"),
        LogLine(1, FIRST, b"a" * PART + b"b" * PART + b"c\n"),
    ]


def test_what_is_longer_than_a_line_may_be_becomes_several():
    sent = [frame(b"x" * PART)] * (LONGEST_LINE // PART) + [frame(b"rest\n", moment=SECOND)]
    assert lines(FrameReader(), *sent) == [
        LogLine(1, FIRST, b"x" * LONGEST_LINE + b"\n"),
        LogLine(1, SECOND, b"rest\n"),
    ]


def test_a_line_without_an_end_gets_one_when_the_log_ends():
    assert lines(FrameReader(), frame(b"prompt> ")) == [LogLine(1, FIRST, b"prompt> \n")]


def test_an_error_in_the_stream_is_the_engines_refusal():
    words = b"Error grabbing logs: invalid character '\\x00' looking for beginning of value\n"
    reader = FrameReader()
    sent = frame(b"good\n") + struct.pack(">BxxxL", 3, len(words)) + words
    found = []
    with pytest.raises(EngineRefused, match="invalid character"):
        found.extend(reader.feed(sent))
    assert list(FrameReader().feed(frame(b"good\n"))) == [LogLine(1, FIRST, b"good\n")]


def test_a_terminal_sends_no_frames():
    sent = entry(b"one\r\n") + entry(b"two\r\n", SECOND, "k=v")
    expected = [LogLine(1, FIRST, b"one\r\n"), LogLine(1, SECOND, b"two\r\n", {"k": "v"})]
    assert lines(TerminalReader(), sent) == expected
    assert lines(TerminalReader(), *(bytes([byte]) for byte in sent)) == expected


def test_the_parts_of_a_long_line_of_a_terminal_are_put_together():
    sent = entry(b"a" * PART) + entry(b"b" * PART, SECOND, "k=v") + entry(b"c\r\n", THIRD)
    assert lines(TerminalReader(), sent) == [LogLine(1, FIRST, b"a" * PART + b"b" * PART + b"c\r\n")]


def test_what_a_terminals_program_prints_may_look_like_a_moment():
    text = f"{SECOND}  not the engine's\r\n".encode()
    assert lines(TerminalReader(), entry(text)) == [LogLine(1, FIRST, text)]


def test_a_terminal_that_prints_no_newline_fills_no_memory():
    reader = TerminalReader()
    found = [line for _ in range(3 * LONGEST_LINE // PART) for line in reader.feed(b"x" * PART)]
    assert len(found) == 3
