"""The query parameter ``filters``: ``{"name": ["a", "b"]}``, or ``{"name": {"a": true}}`` as Go's client writes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from swarmd.errors import BadRequest

Filters = dict[str, list[str]]


def parse_filters(text: str | None, accepted: Iterable[str] | None = None) -> Filters:
    """
    :param accepted: the keys that are known; None takes all.
    :raises BadRequest: it cannot be read, or a key is unknown.
    """
    if not text:
        return {}
    try:
        sent = json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequest("invalid filter") from None
    if not isinstance(sent, dict):
        raise BadRequest("invalid filter")
    filters: Filters = {}
    for key, values in sent.items():
        if isinstance(values, dict):
            if not all(isinstance(chosen, bool) for chosen in values.values()):
                raise BadRequest("invalid filter")
            filters[key] = list(values)
        elif isinstance(values, list) and all(isinstance(value, str) for value in values):
            filters[key] = values
        else:
            raise BadRequest("invalid filter")
    known = None if accepted is None else set(accepted)
    unknown = next((key for key in filters if known is not None and key not in known), None)
    if unknown is not None:
        raise BadRequest(f"invalid filter '{unknown}'")
    return filters


def any_prefix(value: str, wanted: list[str] | None) -> bool:
    """Whether the value begins with one of those wanted; true where nothing is wanted."""
    return not wanted or any(value.startswith(prefix) for prefix in wanted)


def one_of(value: str, wanted: list[str] | None) -> bool:
    return not wanted or value in wanted


def labels_match(labels: Mapping[str, str], wanted: list[str] | None) -> bool:
    """Whether all labels wanted are there: ``key``, or ``key=value``."""
    for item in wanted or ():
        key, _, value = item.partition("=")
        if key not in labels or (value and labels[key] != value):
            return False
    return True


def words(values: list[str] | None, known: Iterable[str], name: str) -> list[str]:
    """The values in lower case.

    :raises BadRequest: one is not among those known.
    """
    allowed = set(known)
    for value in values or ():
        if value and value.lower() not in allowed:
            raise BadRequest(f"Invalid {name} filter: '{value}'")
    return [value.lower() for value in values or () if value]
