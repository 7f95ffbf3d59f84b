"""Which request is swarmd's, what happens to it while swarmd does not answer, and which ones become raw streams.

The paths are those of Docker's API 1.45, with or without a version in front. All that no rule names is the engine's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qs, unquote


class Owner(Enum):
    SWARMD = "swarmd"
    ENGINE = "Docker Engine"


@dataclass(frozen=True)
class Rule:
    path: str
    """A regular expression for the whole path, without the version."""
    owner: Owner
    engine_stands_in: bool = False
    """While swarmd does not answer, the engine does, so that containers can be worked with."""
    patience: float | None = None
    """Seconds until the head of swarmd's answer must be there; None for requests that may take any time."""
    given: Callable[[str], bool] | None = None
    """Looks at the query: the rule holds only if it says so."""


def asks_for_tasks(query: str) -> bool:
    """``docker ps --filter is-task=…``: the engine knows tasks by labels only, swarmd knows them all."""
    for text in parse_qs(query).get("filters", ()):
        try:
            filters = json.loads(text)
        except ValueError:
            continue
        if isinstance(filters, dict) and "is-task" in filters:
            return True
    return False


RULES = (
    Rule(r"/_ping", Owner.SWARMD, engine_stands_in=True, patience=3),
    Rule(r"/info", Owner.SWARMD, engine_stands_in=True, patience=3),
    Rule(r"/version", Owner.SWARMD, engine_stands_in=True, patience=3),
    Rule(r"/events", Owner.SWARMD, engine_stands_in=True, patience=10),
    Rule(r"/swarm(/.*)?", Owner.SWARMD),
    Rule(r"/nodes(/.*)?", Owner.SWARMD),
    Rule(r"/services(/.*)?", Owner.SWARMD),
    Rule(r"/tasks(/.*)?", Owner.SWARMD),
    Rule(r"/secrets(/.*)?", Owner.SWARMD),
    Rule(r"/configs(/.*)?", Owner.SWARMD),
    Rule(r"/containers/json", Owner.SWARMD, given=asks_for_tasks),
)

RAW_AFTER_THE_HEAD = r"/containers/[^/]+/attach|/exec/[^/]+/start|/session|/grpc"
"""POST to these may be answered by a raw stream both ways, also without an ``Upgrade`` header (clients before 1.20)."""

_ENGINE = Rule(r".*", Owner.ENGINE)
_TABLE = tuple((re.compile(rule.path, re.DOTALL), rule) for rule in RULES)
_RAW = re.compile(RAW_AFTER_THE_HEAD, re.DOTALL)
_VERSION = re.compile(r"/v[0-9.]+(?=/)")
_AUTHORITY = re.compile(r"https?://[^/?]*", re.IGNORECASE)


def split(target: str) -> tuple[str, str]:
    """A request's target as path (decoded, without scheme, host and version) and query.

    Decoded, because the engine decodes before it routes: ``/%73warm/init`` would make it a swarm of its own.
    """
    path, _, query = _AUTHORITY.sub("", target, count=1).partition("?")
    if "%" in path:
        path = unquote(path)
    return _VERSION.sub("", path, count=1) if path.startswith("/v") else path, query


def rule_for(path: str, query: str) -> Rule:
    """The rule of a request; ``path`` and ``query`` as from :func:`split`."""
    for pattern, rule in _TABLE:
        if pattern.fullmatch(path) and (rule.given is None or rule.given(query)):
            return rule
    return _ENGINE


def may_become_raw(method: str, path: str) -> bool:
    return method == "POST" and _RAW.fullmatch(path) is not None
