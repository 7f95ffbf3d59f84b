"""What a serial console said, as text."""

from __future__ import annotations

from pathlib import Path

from provisioner.machines import consoles


def test_the_last_lines_are_shown_without_a_terminals_control_sequences(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"\x1b[!p\x1b[?7h\x1b]104\x07\x1b[0;32mDebian GNU/Linux 13\x1b[0m manager3 ttyS0\r\n\r\nlogin: \n")
    assert consoles.tail(log) == "  Debian GNU/Linux 13 manager3 ttyS0\n  login: "


def test_a_console_that_was_never_written_is_nothing(tmp_path: Path) -> None:
    assert consoles.tail(tmp_path / "console.log") == ""
