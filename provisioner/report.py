"""What a run of the checks came to: figures, a line of words, and the causes of what failed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from provisioner.errors import ChecksFailed

CAUSES_SHOWN = 10


@dataclass(frozen=True)
class Failure:
    suite: str
    nodeid: str
    sentence: str
    """The claim that does not hold: "manager2 resolves every host of the lab"."""
    message: str
    """Why, in the words of the check."""


@dataclass(frozen=True)
class Report:
    lab: str
    log: Path
    """pytest's complete output."""
    passed: int = 0
    failures: tuple[Failure, ...] = ()
    impossible: Mapping[str, int] = field(default_factory=dict)
    """What the hosts' kernel lacks -> how many checks could not be made for it."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Why a check says nothing about such a lab -> how many."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Suite -> seconds from its first check to the end of its last."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the suites handed over by name, of JSON's types."""

    @property
    def total(self) -> int:
        return self.passed + len(self.failures) + sum(self.impossible.values()) + sum(self.skipped.values())

    def words(self) -> str:
        """One line: "41 passed, 3 not possible on this kernel (no ip_vs)"."""
        parts = [f"{self.passed} passed"]
        if self.failures:
            parts.append(f"{len(self.failures)} failed")
        if self.impossible:
            parts.append(f"{sum(self.impossible.values())} not possible on this kernel ({_reasons(self.impossible)})")
        if self.skipped:
            parts.append(f"{sum(self.skipped.values())} not for this lab ({_reasons(self.skipped)})")
        return ", ".join(parts)

    def explanation(self) -> str:
        """What failed and why; checks that failed for one cause share it."""
        causes: dict[str, list[str]] = {}
        for failure in self.failures:
            causes.setdefault(failure.message, []).append(failure.sentence)
        lines = [f"{len(self.failures)} of {self.total} checks failed on lab {self.lab!r}"]
        for message, sentences in list(causes.items())[:CAUSES_SHOWN]:
            lines += [f"  ✗ {sentence}" for sentence in sentences]
            lines += [f"      {line}" for line in message.splitlines() or ["no reason was given"]]
        if len(causes) > CAUSES_SHOWN:
            lines.append(f"  … and {len(causes) - CAUSES_SHOWN} more causes, in the log")
        return "\n".join(lines)

    def require_passed(self) -> None:
        """:raises ChecksFailed: a check failed."""
        if self.failures:
            suite = self.failures[0].suite
            raise ChecksFailed(
                self.explanation(),
                hint=f"mend it (provision ssh HOST --name {self.lab}) and check again: "
                f"provision verify {suite} --name {self.lab}",
                log=self.log,
            )

    def as_dict(self) -> dict[str, Any]:
        """Of JSON's types, for `--json`."""
        return {**asdict(self), "log": str(self.log), "words": self.words()}


def _reasons(counts: Mapping[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{reason}: {count}" for reason, count in counts.items())
