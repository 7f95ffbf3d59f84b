"""Running a program that takes minutes: lines as they come, and a deadline that counts from progress."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from provisioner.errors import MachineLacks, ProvisionError
from provisioner.machines.vagrant import output
from provisioner.machines.vagrant.output import Stalled, is_percent, read_line


def run(script: str, log: Path, **options) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    output.run(
        ["sh", "-c", script], env=os.environ, verb="up", lab="course", log_path=log,
        told=lambda machine, text: told.append((machine, text)), **options,
    )  # fmt: skip
    return told


@pytest.mark.parametrize(
    ("line", "machine", "text"),
    [
        ("==> manager1: Starting domain.", "manager1", "Starting domain."),
        ("    manager1: SSH address: 192.168.121.21:22", "manager1", "SSH address: 192.168.121.21:22"),
        ("Bringing machine 'manager1' up with 'libvirt' provider...", "",
         "Bringing machine 'manager1' up with 'libvirt' provider..."),
        ("URL: [\"https://example.org\"]", "", "URL: [\"https://example.org\"]"),
    ],
)  # fmt: skip
def test_a_line_belongs_to_the_machine_that_it_names(line: str, machine: str, text: str) -> None:
    assert read_line(line) == (machine, text)


@pytest.mark.parametrize(
    "line",
    ["Progress: 1%", "==> box: Progress: 35% (Rate: 3141k/s, Estimated time remaining: 0:01:12)",
     "    manager1: Progress: 99% (Rate: 1k/s)", "==> manager1: 7%"],
)  # fmt: skip
def test_lines_of_percent_are_known(line: str) -> None:
    assert is_percent(line)
    assert not is_percent("==> manager1: Starting domain.")


def test_every_line_is_told_and_logged_but_percents_are_only_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    told = run(
        r"printf '==> m1: one\n==> m1: Progress: 1%%\r==> m1: Progress: 2%%\r\033[K==> m1: two\n' >&2; printf end", log
    )
    assert told == [("m1", "one"), ("m1", "Progress: 1%"), ("m1", "Progress: 2%"), ("m1", "two"), ("", "end")]
    first, *logged = log.read_text().splitlines()
    assert first.startswith("$ sh -c ")
    assert logged == ["==> m1: one", "==> m1: two", "end"]


def test_a_failure_is_explained_from_all_that_was_said(tmp_path: Path) -> None:
    with pytest.raises(MachineLacks, match="no memory left") as caught:
        run("echo \"cannot set up guest memory 'pc.ram': Cannot allocate memory\"; echo more; exit 1", tmp_path / "log")
    assert caught.value.log == tmp_path / "log"


def test_it_ends_a_program_that_does_nothing_for_too_long(tmp_path: Path) -> None:
    with pytest.raises(Stalled, match="it last said 'Waiting'") as caught:
        run("echo Waiting; exec sleep 60", tmp_path / "log", stalled=0.2)
    assert "provision logs" in caught.value.hint


def test_activity_that_it_does_not_speak_of_counts_as_progress(tmp_path: Path) -> None:
    """The program outlasts the deadline fourfold; what it does is seen at each look."""
    told = run("echo Waiting; sleep 0.8; echo done", tmp_path / "log", stalled=0.2, activity=itertools.count().__next__)
    assert told == [("", "Waiting"), ("", "done")]


def test_it_does_not_wait_for_what_the_program_left_running(tmp_path: Path) -> None:
    """A container's monitor inherits the output and lives on."""
    told = run("sleep 30 & echo $!", tmp_path / "log", stalled=10)
    os.kill(int(told[0][1]), 9)


def test_ctrl_c_is_passed_on_once_and_its_end_awaited(tmp_path: Path) -> None:
    def interrupt(_machine: str, text: str) -> None:
        if text == "ready":
            raise KeyboardInterrupt

    ended = tmp_path / "ended"
    script = f"trap 'echo once >> {ended}; exit 1' INT; echo ready; while :; do sleep 0.02; done"
    with pytest.raises(KeyboardInterrupt):
        output.run(
            ["sh", "-c", script], env=os.environ, verb="up", lab="course", log_path=tmp_path / "log", told=interrupt
        )
    assert ended.read_text() == "once\n"


def test_a_program_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match="'no-such-vagrant' is not on this machine"):
        output.run(["no-such-vagrant"], env=os.environ, verb="up", lab="course", log_path=tmp_path / "log")
