"""`provision` as a user runs it, with a clock: what the benches share."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from provisioner import state

PROVISION = Path(sys.executable).with_name("provision")


@dataclass
class Row:
    what: str
    goal: str
    values: list[float] = field(default_factory=list)
    unit: str = "s"
    digits: int = 1

    def words(self) -> tuple[str, str, str, str, str]:
        if not self.values:
            return self.what, "-", "-", "0", self.goal
        median, worst = statistics.median(self.values), max(self.values)
        return (
            self.what,
            f"{median:.{self.digits}f} {self.unit}",
            f"{worst:.{self.digits}f} {self.unit}",
            str(len(self.values)),
            self.goal,
        )


class Runner:
    def __init__(self, home: Path, runs: int) -> None:
        self.home = home
        self.runs = runs
        self.caches = state.home() / "cache"

    def provision(self, *words: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, state.HOME_VARIABLE: str(home or self.home)}
        done = subprocess.run([PROVISION, *words], capture_output=True, text=True, env=environment, check=False)
        if done.returncode != 0:
            sys.exit(f"provision {' '.join(words)}: exit {done.returncode}\n{done.stderr}")
        return done

    def seconds(self, *words: str, home: Path | None = None) -> float:
        started = time.monotonic()
        self.provision(*words, home=home)
        return time.monotonic() - started

    @contextmanager
    def fresh_home(self, *kept: str) -> Iterator[Path]:
        """A home whose caches are empty but for these."""
        with tempfile.TemporaryDirectory(dir=self.home) as folder:
            home = Path(folder)
            (home / "cache").mkdir()
            for kind in kept:
                (home / "cache" / kind).symlink_to(self.caches / kind)
            yield home
            self.provision("down", "--all", home=home)


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder on the file system of the caches, which an image in the making is renamed into."""
    place = state.home() / "bench"
    place.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            yield Path(folder)
    finally:
        place.rmdir()


def show(rows: Sequence[Row]) -> None:
    table = Table("measured", "median", "worst", "n", "goal", box=None, header_style="bold")
    for row in rows:
        table.add_row(*row.words())
    Console(width=None if sys.stdout.isatty() else 120).print(table)
