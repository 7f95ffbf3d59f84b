"""What the renderings of all objects share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from swarmd.model import GenericResource, ResourceObject, Resources
from swarmd.store import Entry

Json = dict[str, Any]


def timestamp(moment: datetime | None) -> str:
    """RFC 3339 in UTC with as many digits as needed, as Go writes it; its zero time for None."""
    if moment is None:
        return "0001-01-01T00:00:00Z"
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def meta(entry: Entry[Any]) -> Json:
    return {
        "ID": entry.value.id,
        "Version": {"Index": entry.version},
        "CreatedAt": timestamp(entry.value.created_at),
        "UpdatedAt": timestamp(entry.value.updated_at),
    }


def in_order(labels: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(labels.items()))


def without_empty(**members: object) -> Json:
    return {key: value for key, value in members.items() if value not in ("", 0, None, [], {})}


def resources(value: Resources | ResourceObject) -> Json:
    return without_empty(
        NanoCPUs=value.nano_cpus,
        MemoryBytes=value.memory_bytes,
        GenericResources=generic_resources(value.generic_resources),
    )


def generic_resources(values: Sequence[GenericResource]) -> list[Json]:
    return [msgspec.to_builtins(value) for value in values]
