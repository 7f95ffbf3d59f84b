"""What users ask for, as the API writes it."""

from __future__ import annotations

import msgspec
from nodes import RunningNode

from swarmd.store import Kind, Put, Unchanged


async def wish(by: RunningNode, of: RunningNode, *, role: str) -> None:
    """``docker node promote`` and ``demote``."""
    store = by.lifecycle.store()
    entry = (await store.fresh()).nodes[of.id]
    spec = msgspec.structs.replace(entry.value.spec, role=role)
    changed = msgspec.structs.replace(entry.value, spec=spec)
    await store.commit([Put(Kind.NODE, of.id, changed)], guards=[Unchanged(Kind.NODE, of.id, entry.version)])
