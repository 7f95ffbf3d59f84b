"""Bodies made from Docker's API specification: such as it allows, and such with something wrong in them.

``docker_api.json`` is a part of Moby's specification (Apache-2.0), made by ``trim_docker_api.py``.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from swarmd.api import not_yet

API = json.loads(Path(__file__).with_name("docker_api.json").read_text())
DEEPEST = 6
"""Levels of a schema that are looked into; one of them refers to itself."""

Schema = dict[str, Any]
Place = tuple[str, ...]
"""Keys on the way to a value; ``[]`` is an item of a list, ``{}`` a value of a map."""

ITEM, VALUE = "[]", "{}"

texts = st.one_of(
    st.text(max_size=8), st.sampled_from(["", " ", "0", "null", "a\0b", "\ud800", "{{.Task.Slot}}", "{{", "%"])
)
huge = st.sampled_from([1 << 16, 1 << 20, 3 << 20]).map("x".__mul__)
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from(
        [1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 63), -(1 << 63) - 1, 10**30]
    ),
    st.integers(),
)
odd = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    st.lists(texts, max_size=2),
    st.dictionaries(texts, numbers, max_size=2),
    st.just([[[[{}]]]]),
)
wrong = st.one_of(odd, odd, odd, huge)
"""Of any type, for a place where most of it is wrong."""

PLAUSIBLE: dict[str, list[Any]] = {
    "Image": ["nginx", "registry.example.org:5000/a/b@sha256:" + "0" * 64, "A b"],
    "Name": ["web", "db", "default", "a_b"],
    "Constraints": [["node.role==worker"], ["node.labels.zone != a", "node.ip==10.0.0.0/8"], ["node.role"]],
    "Data": ["YQ==", "%%", base64.b64encode(b"x" * 2000).decode()],
    "ListenAddr": ["0.0.0.0:2377", "eth0", ":", "[::1", "127.0.0.1:99999"],
    "AdvertiseAddr": ["192.168.56.10", "eth0:2377"],
    "RemoteAddrs": [["192.168.56.10:2377"], ["", "x"]],
    "DefaultAddrPool": [["10.0.0.0/8"], ["10.0.0.0/8", "10.1.0.0/16"], ["::/0"]],
    "JoinToken": ["SWMTKN-1-" + "a" * 50 + "-" + "b" * 25, "SWMTKN-1-a-b"],
    "Env": [["A=b", "=", ""], ["{{.Node.ID}}={{.Task.Slot}}"]],
    "Runtime": ["container", "plugin", "attachment"],
    "Hosts": [["10.0.0.1 db"], ["db"]],
    "NanoCPUs": [1_000_000_000, 1],
    "MemoryBytes": [1 << 30, 1],
    "Target": ["/a", "a", ""],
    "Source": ["/srv", "volume", ""],
    "Replicas": [0, 1, 3],
}
"""By key, what gets further than a random value does."""
ACCEPTED: dict[str, dict[str, Any]] = {
    "/services/create": {"Name": "new", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}},
    "/services/{id}/update": {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}},
    "/nodes/{id}/update": {"Role": "worker", "Availability": "active"},
    "/swarm/init": {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "192.168.56.10"},
    "/swarm/join": {"ListenAddr": "0.0.0.0:2377", "RemoteAddrs": ["192.168.56.11"], "JoinToken": "SWMTKN-1-a-b"},
    "/swarm/update": {"Name": "default"},
    "/configs/create": {"Name": "new", "Data": "YQ=="},
    "/configs/{id}/update": {"Name": "conf", "Data": "YQ=="},
    "/secrets/create": {"Name": "new", "Data": "YQ=="},
    "/secrets/{id}/update": {"Name": "conf", "Data": "YQ=="},
    "/swarm/unlock": {"UnlockKey": "SWMKEY-1-a"},
}
"""By path, the least that is taken; more is put into it."""

REFUSED = {name for keys in (*not_yet.NOT_YET.values(), *not_yet.PRESENT.values()) for name in keys}
"""Keys that are answered 501: below them there is little to find."""

OPERATIONS = [(method.upper(), path) for path, methods in API["paths"].items() for method in methods]


def resolved(schema: Schema) -> Schema:
    """Without a reference, and with all that it is made of in one."""
    if "$ref" in schema:
        return resolved(API["definitions"][schema["$ref"].rpartition("/")[2]])
    if "allOf" not in schema:
        return schema
    parts = [resolved(part) for part in schema["allOf"]]
    properties = {key: value for part in parts for key, value in part.get("properties", {}).items()}
    return {"type": "object", "properties": properties} if properties else parts[0]


def places(schema: Schema, above: Place = ()) -> Iterator[tuple[Place, Schema]]:
    """Every place that the specification knows, with what is to be there."""
    schema = resolved(schema)
    if above:
        yield above, schema
    if len(above) >= DEEPEST:
        return
    for key, inner in schema.get("properties", {}).items():
        yield from places(inner, (*above, key))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from places(schema["additionalProperties"], (*above, VALUE))
    if "items" in schema:
        yield from places(schema["items"], (*above, ITEM))


def allowed(schema: Schema, key: str = "", depth: int = 0) -> st.SearchStrategy[Any]:
    """What the specification allows there."""
    schema = resolved(schema)
    if key in PLAUSIBLE:
        return st.one_of(st.sampled_from(PLAUSIBLE[key]), _by_type(schema, depth))
    return _by_type(schema, depth)


def _by_type(schema: Schema, depth: int) -> st.SearchStrategy[Any]:  # noqa: PLR0911 (a table)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type", "object"):
        case "string":
            return texts
        case "boolean":
            return st.booleans()
        case "integer":
            return numbers
        case "number":
            return st.floats(0, 1) | st.floats(allow_nan=False, allow_infinity=False)
        case "array":
            return st.just([]) if depth > DEEPEST else st.lists(allowed(schema["items"], "", depth + 1), max_size=2)
    if isinstance(inner := schema.get("additionalProperties"), dict):
        return st.dictionaries(texts, allowed(inner, "", depth + 1), max_size=2)
    if depth > DEEPEST:
        return st.just({})
    fields = {key: allowed(inner, key, depth + 1) for key, inner in schema.get("properties", {}).items()}
    return _some_of(fields)


@st.composite
def _some_of(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """A few only: of all at once, most are refused for the first."""
    if not fields:
        return {}
    chosen = draw(st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True))
    return {key: draw(fields[key]) for key in chosen}


def put(body: Any, place: Place, value: Any) -> Any:
    """The body with the value there. What is missing on the way, or is of another kind, is made; objects are merged."""
    if not place:
        return {**body, **value} if isinstance(body, dict) and isinstance(value, dict) else value
    key, *rest = place
    if key == ITEM:
        items = body if isinstance(body, list) and body else [None]
        return [put(items[0], tuple(rest), value), *items[1:]]
    fields = dict(body) if isinstance(body, dict) else {}
    name = "k" if key == VALUE else key
    fields[name] = put(fields.get(name), tuple(rest), value)
    return fields


@st.composite
def bodies(draw: st.DrawFn, path: str, schema: Schema, *, faults: int) -> Any:
    """One that is accepted, with some of what is allowed put into it, and so many faults.

    :param faults: wrong values at known places, or fields that are not known.
    """
    body = copy.deepcopy(ACCEPTED[path])
    known = list(places(schema))
    taken = [each for each in known if not REFUSED & set(each[0])]
    if taken and draw(st.integers(0, 5)):
        known = taken
    for place, inner in draw(st.lists(st.sampled_from(known), max_size=5)):
        body = put(body, place, draw(allowed(inner, place[-1])))
    for place, _ in [draw(st.sampled_from(known)) for _ in range(faults)]:
        unknown = draw(st.booleans()) and place[-1] not in {ITEM, VALUE}
        body = put(body, (*place[:-1], draw(texts)) if unknown else place, draw(wrong))
    return body


ONE_OF_EACH: tuple[Any, ...] = (None, True, -1, 1 << 64, 0.5, "x", [[]], {"k": []})
"""Values of all types, one of which is right anywhere."""


def with_one_wrong(path: str, schema: Schema) -> Iterator[Any]:
    """Bodies with each value at each place."""
    for place, _ in places(schema):
        for value in ONE_OF_EACH:
            yield put(ACCEPTED[path], place, value)


def schema_of(operation: tuple[str, str]) -> Schema | None:
    """Of its body, if it has one."""
    method, path = operation
    parameters = API["paths"][path][method.lower()]["parameters"]
    return next((each["schema"] for each in parameters if each["in"] == "body"), None)
