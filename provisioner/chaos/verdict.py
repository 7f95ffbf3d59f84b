"""Judge a history: was every acknowledged write found again? Pure.

A verdict is true, false or unknown: where the final state could not be read, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Set
from dataclasses import dataclass
from itertools import pairwise

from provisioner.chaos.history import Kind, Operation

Found = Mapping[str, Mapping[str, Set[int]]]
"""What was read at the end: reader (a manager's host) -> writing process -> numbers present."""


@dataclass(frozen=True)
class Verdict:
    acknowledged: int
    failed: int
    unknown: int
    took_effect: int
    """Of the unknown writes, those that were found."""
    lost: tuple[str, ...]
    """Acknowledged and not found: one sentence per reader and process."""
    phantoms: tuple[str, ...]
    """Found although they certainly were never sent."""
    readers: tuple[str, ...]

    @property
    def valid(self) -> bool | None:
        """None: unknown, because no manager could be read or nothing was written."""
        if self.lost or self.phantoms:
            return False
        return True if self.readers and self.acknowledged else None

    def words(self) -> str:
        counts = (
            f"{self.acknowledged} acknowledged, {self.failed} refused, "
            f"{self.unknown} without an answer ({self.took_effect} of these took effect)"
        )
        if self.valid is None:
            why = "no write was acknowledged" if self.readers else "no manager could be read at the end"
            return f"unknown: {why} ({counts})"
        if self.valid:
            return f"every acknowledged write is there on {', '.join(self.readers)}: {counts}"
        return f"{'; '.join(self.lost + self.phantoms)} ({counts})"


def judge(operations: Iterable[Operation], found: Found) -> Verdict:
    """Compare what was acknowledged with what each reader found in the end."""
    endings: dict[str, dict[int, Kind]] = {}
    for operation in operations:
        # A write that never ended (its process was stopped) keeps "invoke" and counts as unknown.
        endings.setdefault(operation.process, {})[operation.value] = operation.kind
    lost, phantoms = [], []
    took_effect: set[tuple[str, int]] = set()
    for reader, states in found.items():
        for process, ends in endings.items():
            present = states.get(process, frozenset())
            missing = [value for value, kind in ends.items() if kind == "ok" and value not in present]
            if missing:
                lost.append(f"{reader} lacks {_numbers(missing)} of {process}, which were acknowledged")
            ghosts = [value for value in present if ends.get(value, "fail") == "fail"]
            if ghosts:
                phantoms.append(f"{reader} has {_numbers(ghosts)} of {process}, which were never sent")
            took_effect |= {(process, value) for value in present if ends.get(value) in ("unknown", "invoke")}
    kinds = [kind for ends in endings.values() for kind in ends.values()]
    return Verdict(
        acknowledged=kinds.count("ok"),
        failed=kinds.count("fail"),
        unknown=kinds.count("unknown") + kinds.count("invoke"),
        took_effect=len(took_effect),
        lost=tuple(lost),
        phantoms=tuple(phantoms),
        readers=tuple(found),
    )


def first_accepted(operations: Iterable[Operation], since: float) -> float | None:
    """When the first write that was begun after ``since`` was acknowledged, in seconds of the history's clock."""
    begun: dict[tuple[str, int], float] = {}
    for operation in operations:
        write = (operation.process, operation.value)
        if operation.kind == "invoke":
            begun[write] = operation.seconds
        elif operation.kind == "ok" and begun.get(write, since) >= since:
            return operation.seconds
    return None


def accepted_between(
    operations: Iterable[Operation], start: float, end: float, *, by: Container[str] | None = None
) -> int:
    """How many writes were both begun and acknowledged between two moments.

    :param by: the processes whose writes count; all, where absent.
    """
    inside = [
        operation
        for operation in operations
        if start <= operation.seconds <= end and (by is None or operation.process in by)
    ]
    begun = {(operation.process, operation.value) for operation in inside if operation.kind == "invoke"}
    return sum(1 for operation in inside if operation.kind == "ok" and (operation.process, operation.value) in begun)


def longest_gap(operations: Iterable[Operation], start: float, end: float) -> float:
    """The longest time between two moments in which no write was acknowledged, in seconds."""
    moments = [operation.seconds for operation in operations if operation.kind == "ok"]
    moments = [start, *(moment for moment in moments if start < moment < end), end]
    return max(later - earlier for earlier, later in pairwise(moments))


def _numbers(values: Iterable[int]) -> str:
    ordered = sorted(values)
    shown = ", ".join(f"w.{value}" for value in ordered[:5])
    return shown if len(ordered) <= 5 else f"{shown} and {len(ordered) - 5} more"
