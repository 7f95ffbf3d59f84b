"""Whether a node is Down: a pure judge over what was heard of nodes and of their machines.

Two signals (docs/decisions/0011-two-signals-of-life.md). Heartbeats, as Docker's: three missed ones are Down. And the
machine's kernel, which answers ICMP whatever its processes do: a machine that used to answer, and has neither answered
nor said anything for 3 s, has lost its power or its network, and is Down without waiting for heartbeats.

The judge counts *awake time*: what passes between two of its looks counts for 0.5 s at most. So nobody is judged by
time in which the judge itself stood still, with whatever was sent to it unread.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

TICK = 0.25
"""Seconds between the judge's looks."""
LONGEST_STEP = 2 * TICK

MISSES = 3
MISSES_UNKNOWN = 6
"""After a change of leader a node must find the new one first: swarmkit's doubled grace."""

ANSWERS_KNOWN = 10
"""Answers after which a machine counts as one that answers."""
LOSSES = 5
SILENCE = 3.0
"""Seconds: so many losses in a row, and for so long, is a machine that is off."""
PATIENCE = 10.0
"""Seconds that a node stays what it is while its kernel answers, however short the heartbeats' period is."""
CONTRADICTION = 1.0
"""Seconds by which a node's word may be newer than its machine's last answer; beyond, ICMP is being dropped."""

HEARTBEAT_FAILURE = "heartbeat failure"
HEARTBEAT_FAILURE_UNKNOWN = 'heartbeat failure for node in "unknown" state'
NO_ANSWER = "the machine does not answer and has sent nothing for 3 seconds"


@dataclass(frozen=True)
class Signal:
    """What probes of a machine have brought."""

    answers: int = 0
    """Since this manager began to probe it."""
    losses: int = 0
    """Since the last answer; a probe that this manager was too late to judge is neither."""
    silent: float = 0.0
    """Awake seconds since the last answer."""

    @property
    def answering(self) -> bool:
        return self.answers > 0 and self.losses < LOSSES


@dataclass(frozen=True)
class Verdict:
    node_id: str
    message: str


@dataclass
class _Watched:
    grace: float
    since: float
    """Awake time of its last word, or of the leader's beginning."""
    heard: bool
    distrusted_until: int = 0
    """Answers that its machine must have given before its silence counts again."""


class Judge:
    def __init__(self, now: float) -> None:
        """
        :param now: seconds of a monotonic clock, as everywhere here.
        """
        self._nodes: dict[str, _Watched] = {}
        self._awake = 0.0
        self._looked = now

    def awake(self, now: float) -> float:
        return self._awake + min(max(now - self._looked, 0.0), LONGEST_STEP)

    def heard(self, node_id: str, period: float, now: float) -> None:
        """A node has said something, and its next heartbeat is due within ``period`` seconds."""
        known = self._nodes.get(node_id)
        distrusted = known.distrusted_until if known else 0
        self._nodes[node_id] = _Watched(MISSES * period, self.awake(now), True, distrusted)

    def expect(self, node_id: str, period: float, now: float) -> None:
        """A node that was there under the last leader must come within its grace."""
        self._nodes[node_id] = _Watched(MISSES_UNKNOWN * period, self.awake(now), False)

    def forget(self, node_id: str) -> None:
        self._nodes.pop(node_id, None)

    @property
    def watched(self) -> Set[str]:
        return self._nodes.keys()

    def look(self, now: float, signals: Mapping[str, Signal]) -> list[Verdict]:
        """Who is Down now; they are forgotten until they are heard again. To be called each ``TICK``.

        :param signals: by node id, without this manager's own; a node whose machine was never probed is absent.
        """
        self._awake, self._looked = self.awake(now), now
        for node_id, watched in self._nodes.items():
            self._weigh(watched, signals.get(node_id, Signal()))
        alone = self._is_alone(signals)
        verdicts = [
            Verdict(node_id, message)
            for node_id, watched in self._nodes.items()
            if (message := self._judge(watched, signals.get(node_id, Signal()), alone))
        ]
        for verdict in verdicts:
            self.forget(verdict.node_id)
        return verdicts

    def _weigh(self, watched: _Watched, signal: Signal) -> None:
        quiet = self._awake - watched.since
        if watched.heard and signal.losses and signal.silent - quiet > CONTRADICTION:
            watched.distrusted_until = signal.answers + ANSWERS_KNOWN

    def _is_alone(self, signals: Mapping[str, Signal]) -> bool:
        """Whether all machines fell silent together: more likely this one has lost its network than all their power."""
        known = [signal for node_id, signal in signals.items() if self._counts(node_id, signal)]
        return len(known) > 1 and all(signal.losses > 1 for signal in known)

    def _counts(self, node_id: str, signal: Signal) -> bool:
        watched = self._nodes.get(node_id)
        return watched is not None and signal.answers >= max(ANSWERS_KNOWN, watched.distrusted_until)

    def _judge(self, watched: _Watched, signal: Signal, alone: bool) -> str:
        quiet = self._awake - watched.since
        if quiet >= watched.grace and not (signal.answering and quiet < PATIENCE):
            return HEARTBEAT_FAILURE if watched.heard else HEARTBEAT_FAILURE_UNKNOWN
        off = (
            signal.answers >= max(ANSWERS_KNOWN, watched.distrusted_until)
            and signal.losses >= LOSSES
            and signal.silent >= SILENCE
        )
        if off and not alone and (quiet >= SILENCE or not watched.heard):
            return NO_ANSWER
        return ""
