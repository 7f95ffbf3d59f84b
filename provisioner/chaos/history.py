"""The history of a workload: every operation as it was begun and as it ended, one JSON object per line.

The verdict is made from this file alone, so it can be made again, or by another program, long after the run.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

Kind = Literal["invoke", "ok", "fail", "unknown"]
"""invoke begins an operation. It ends as ok (acknowledged), fail (certainly without effect) or unknown: whoever was
asked gave no clear answer, so the effect may have come, may come later, or never."""


@dataclass(frozen=True)
class Operation:
    seconds: float
    """Since the run began, by a clock that is never set."""
    process: str
    """Whose operation it is; a process has one at a time."""
    kind: Kind
    value: int
    """The number written; a process never uses one twice."""
    error: str = ""


class History:
    """Collects operations from many threads. Each line reaches the file at once, so a crash keeps what was."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.path = path
        self._clock = clock
        self._operations: list[Operation] = []
        self._lock = threading.Lock()
        self._file = path.open("w", buffering=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def record(self, process: str, kind: Kind, value: int, error: str = "") -> None:
        with self._lock:
            operation = Operation(round(self._clock(), 4), process, kind, value, error)
            self._operations.append(operation)
            self._file.write(json.dumps(asdict(operation)) + "\n")

    def operations(self) -> list[Operation]:
        with self._lock:
            return list(self._operations)


def load(path: Path) -> Iterator[Operation]:
    """The operations of a history file, in the order in which they were recorded."""
    with path.open() as file:
        for line in file:
            yield Operation(**json.loads(line))
