"""The command line: every verb explains itself, usage errors are 2, and nothing of a traceback is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from provisioner import __version__, state
from provisioner.cli import app

PROVISION = Path(sys.executable).with_name("provision")


def verbs() -> Iterator[list[str]]:
    top = typer.main.get_command(app)
    assert isinstance(top, TyperGroup)
    for name, command in top.commands.items():
        if isinstance(command, TyperGroup):
            yield from ([name, below] for below in command.commands)
        else:
            yield [name]


def run(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, state.HOME_VARIABLE: str(home), "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run([PROVISION, *words], capture_output=True, text=True, env=environment, timeout=60, check=False)


@pytest.mark.parametrize("verb", list(verbs()), ids=" ".join)
def test_every_verb_has_help_with_an_example(verb: list[str]) -> None:
    done = CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1"}).invoke(app, [*verb, "--help"])
    assert done.exit_code == 0
    assert f"Example: {'eval ' if verb == ['use'] else 'provision'}" in done.output


def test_the_version(tmp_path: Path) -> None:
    assert run("--version", home=tmp_path).stdout == f"provision {__version__}\n"


def test_without_a_verb_the_help_is_shown(tmp_path: Path) -> None:
    assert "Commands" in run(home=tmp_path).stdout


@pytest.mark.parametrize(
    "words", [["fly"], ["up", "--managers", "many"], ["up", "--sideways"], ["ssh"], ["chaos"], ["logs"]], ids=" ".join
)
def test_what_is_no_command_ends_with_2(words: list[str], tmp_path: Path) -> None:
    done = run(*words, home=tmp_path)
    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_the_lab_is_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISION_LAB", "Not_Valid")
    done = run("status", home=tmp_path)
    assert "'Not_Valid' is not a valid name" in done.stderr
    assert done.returncode == 2


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    pipe = ["sh", "-c", '"$1" --help | head -1', "sh", str(PROVISION)]
    done = subprocess.run(pipe, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
