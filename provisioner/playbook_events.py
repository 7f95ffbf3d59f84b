"""What ansible-runner's events say: what each host is doing, what failed on it and why, and the totals. Pure.

The shapes are those of ansible_runner's awx_display callback.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioner.progress import Progress

Event = Mapping[str, Any]

# Where an action puts what it has to say; the first that is there is taken.
_WORDS = ("msg", "stderr", "module_stderr", "stdout", "module_stdout")
_LONGEST = 1500


@dataclass(frozen=True)
class Stats:
    """Totals of a run, by host; a host that a count does not name has none."""

    ok: Mapping[str, int] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)

    @property
    def total_changed(self) -> int:
        return sum(self.changed.values())


@dataclass(frozen=True)
class Failure:
    host: str
    task: str
    message: str

    def __str__(self) -> str:
        return f"{self.host}: {self.task}: {self.message}"


class Events:
    """Takes the events of one run, in their order."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.stats = Stats()
        self.last = ""
        """The last thing that happened: "manager1: Docker is installed"."""
        self._failures: dict[str, Failure] = {}
        self._dead: set[str] | None = None

    @property
    def failures(self) -> dict[str, Failure]:
        """The last failure of each host that did not recover from it, by host."""
        if self._dead is None:
            return dict(self._failures)
        lost = {host: Failure(host, "", "it failed; the log says why") for host in self._dead}
        return {host: self._failures.get(host, failure) for host, failure in sorted(lost.items())}

    def take(self, event: Event) -> None:
        data = event.get("event_data") or {}
        match event.get("event"):
            case "runner_on_start":
                self._doing(data["host"], data.get("task") or "")
            case "runner_on_failed" if not data.get("ignore_errors"):
                self._fail(data)
            case "runner_on_unreachable":
                self._fail(data, "unreachable")
            case "playbook_on_stats":
                self._end(data)
            case _:
                pass

    def _doing(self, host: str, task: str) -> None:
        self.last = f"{host}: {task}"
        self.progress.host(host, task)

    def _fail(self, data: Event, what: str = "") -> None:
        host = data["host"]
        message = ": ".join(part for part in (what, message_of(data.get("res") or {})) if part)
        self._failures[host] = Failure(host, data.get("task") or "", message)
        self.progress.host(host, f"failed: {data.get('task')}")

    def _end(self, data: Event) -> None:
        self.stats = Stats(ok=data.get("ok") or {}, changed=data.get("changed") or {})
        self._dead = {*(data.get("failures") or {}), *(data.get("dark") or {})}


def message_of(result: Event) -> str:
    """Why an action failed, in its own words: of a loop, those of the items that failed."""
    if "censored" in result:
        return "failed; its answer is hidden because it may hold a secret"
    items = [item for item in result.get("results") or [] if item.get("failed") or item.get("unreachable")]
    if items:
        return "; ".join(dict.fromkeys(message_of(item) for item in items))
    words = list(_words(result))
    return " / ".join(words)[:_LONGEST] if words else "failed without a word"


def _words(result: Event) -> Iterator[str]:
    for key in _WORDS:
        text = str(result.get(key) or "").strip()
        if text:
            yield text
            if key != "msg" or not text.startswith(("non-zero return code", "MODULE FAILURE")):
                return
