"""Configs."""

from __future__ import annotations

from swarmd.api.rendering.common import Json, in_order, meta, without_empty
from swarmd.model import Config
from swarmd.store import Entry


def config(entry: Entry[Config]) -> Json:
    spec = entry.value.spec
    return meta(entry) | {"Spec": {"Name": spec.name, "Labels": in_order(spec.labels)} | without_empty(Data=spec.data)}
