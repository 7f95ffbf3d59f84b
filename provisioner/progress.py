"""Progress on stderr: a live line per host on a terminal, one plain line per step elsewhere.

Stages are timed; `summary` prints the seconds of each.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

# A pipe has no width: lines are not to be folded there as for a terminal of 80 columns.
PIPE_WIDTH = 10_000


def stderr_console() -> Console:
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else PIPE_WIDTH)


@dataclass
class Progress:
    """Shared by everything that takes time. ``quiet`` keeps errors and warnings only."""

    console: Console = field(default_factory=stderr_console)
    quiet: bool = False
    stages: list[tuple[str, float]] = field(default_factory=list)
    _doing: dict[str, str] = field(default_factory=dict)
    _stage: str = ""
    _live: Live | None = None

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """A step of the run. Its title is an ongoing action: "Starting 3 hosts"."""
        if self._live is not None:  # a stage within a stage is a detail of the outer one
            self.host("", title)
            yield
            return
        self._stage, self._doing = title, {}
        started = time.monotonic()
        live = self.console.is_terminal and not self.quiet
        with contextlib.ExitStack() as stack:
            if live:
                self._live = stack.enter_context(
                    Live(
                        console=self.console,
                        get_renderable=self._picture,
                        refresh_per_second=8,
                        transient=True,
                    )
                )
                stack.callback(self._end_live)
            try:
                yield
            except BaseException:
                stack.close()
                self._line("✗", title, time.monotonic() - started, "red")
                raise
        seconds = time.monotonic() - started
        self.stages.append((title, seconds))
        self._line("✓", title, seconds, "green")

    def host(self, name: str, doing: str) -> None:
        """What a host is doing now. Shown live; the last value also serves a failing wait."""
        self._doing[name] = doing

    def last_seen(self, name: str) -> str:
        return self._doing.get(name, "")

    def note(self, text: str) -> None:
        if not self.quiet:
            self.console.print(Text(text, style="dim"))

    def warn(self, text: str) -> None:
        self.console.print(Text(f"warning: {text}", style="yellow"))

    def _line(self, mark: str, title: str, seconds: float, style: str) -> None:
        if not self.quiet:
            self.console.print(Text.assemble((mark, style), f" {title} ", (f"{seconds:.1f} s", "dim")))

    def _end_live(self) -> None:
        self._live = None

    def _picture(self) -> Table:
        picture = Table.grid(padding=(0, 1))
        picture.add_row(Spinner("dots"), self._stage)
        for name, doing in sorted(self._doing.items()):
            line = Text(f"{name:<12} {doing}" if name else doing, style="dim", no_wrap=True, overflow="ellipsis")
            picture.add_row("", line)
        return picture
