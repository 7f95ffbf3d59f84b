from __future__ import annotations

import os
from datetime import UTC, datetime

from swarmd.agent.boot import booted_at


def test_a_system_container_began_when_its_first_process_did(tmp_path):
    ticks = 90 * os.sysconf("SC_CLK_TCK")
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "stat").write_text(f"1 (a (b) c) S {' '.join('0' for _ in range(18))} {ticks} 7 8\n")
    (tmp_path / "stat").write_text("cpu  1 2 3\nbtime 1000\nprocesses 5\n")
    assert booted_at(tmp_path) == datetime.fromtimestamp(1090, UTC)


def test_this_machine_was_started_before_now():
    assert booted_at() < datetime.now(UTC)
