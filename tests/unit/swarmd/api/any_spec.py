"""Specs of all fields that the model has, made from its types: a field that is added is tried without a word here."""

from __future__ import annotations

import enum
import types
import typing
from typing import Any

import msgspec
from hypothesis import strategies as st

from swarmd.api import go
from swarmd.model import EndpointSpec, GlobalMode, ReplicatedMode, ServiceMode, ServiceSpec, TaskSpec, UpdateConfig

RANGES = {
    "int": (-(1 << 63), (1 << 63) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)

modes = st.one_of(
    st.builds(ServiceMode, replicated=st.builds(ReplicatedMode, st.integers(0, 1 << 20))),
    st.just(ServiceMode(global_mode=GlobalMode())),
)
SAID_OTHERWISE: dict[tuple[type, str], st.SearchStrategy[Any]] = {
    # What reading completes, or refuses, is sent complete and as it should be.
    (TaskSpec, "runtime"): st.just("container"),
    (ServiceSpec, "mode"): modes,
    (EndpointSpec, "mode"): st.sampled_from(["vip", "dnsrr"]),
    (UpdateConfig, "failure_action"): st.sampled_from(["pause", "continue"]),
    (UpdateConfig, "order"): st.sampled_from(["stop-first", "start-first"]),
    (UpdateConfig, "monitor"): st.integers(1, 1 << 62),
    (UpdateConfig, "max_failure_ratio"): st.integers(0, 8).map(lambda eighths: eighths / 8),
}


def any_struct(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    fields = {
        field.name: SAID_OTHERWISE[kind, field.name]
        if (kind, field.name) in SAID_OTHERWISE
        else _any(field.type, field.encode_name)
        for field in msgspec.structs.fields(kind)
    }
    return st.builds(kind, **fields)


def _any(kind: Any, key: str) -> st.SearchStrategy[Any]:
    origin = typing.get_origin(kind)
    if origin in {types.UnionType, typing.Union}:
        return st.one_of(*(st.none() if inner is type(None) else _any(inner, key) for inner in typing.get_args(kind)))
    if origin is list:
        return st.lists(_any(typing.get_args(kind)[0], key), max_size=2)
    if origin is dict:
        return st.dictionaries(texts, _any(typing.get_args(kind)[1], key), max_size=2)
    if issubclass(kind, msgspec.Struct):
        return any_struct(kind)
    if issubclass(kind, enum.Enum):
        return st.sampled_from(list(kind))
    plain = {str: texts, bool: st.booleans(), int: st.integers(*RANGES[go.WHOLE_NUMBERS.get(key, "int64")])}
    return plain[kind]


service_specs = any_struct(ServiceSpec)
