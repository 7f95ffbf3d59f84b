"""Requests made from Docker's API specification: such as it allows, and such with something wrong in them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from urllib.parse import quote

from docker_api_bodies import API, Schema, bodies, numbers, odd, schema_of, texts
from hypothesis import strategies as st

FILTERS = (
    *("id", "name", "names", "label", "node.label", "role", "membership", "mode", "runtime", "service", "node"),
    *("desired-state", "_up-to-date", "task", ""),
)


@dataclass
class Request:
    method: str
    path: str
    """Encoded, with its query."""
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Of a huge one, the beginning."""
        return f"{self.method} {self.path[:500]} {self.headers} {(self.body or b'')[:2000]!r}"


@st.composite
def broken(draw: st.DrawFn, body: bytes) -> bytes:
    """JSON that is none."""
    match draw(st.integers(0, 4)):
        case 0:
            return draw(st.binary(max_size=20))
        case 1:
            return body[: draw(st.integers(0, max(len(body) - 1, 0)))]
        case 2:
            place = draw(st.integers(0, len(body)))
            return body[:place] + draw(st.binary(min_size=1, max_size=3)) + body[place:]
        case 3:
            return draw(st.sampled_from([b"[", b'{"a":', b'{"Labels":'])) * draw(st.sampled_from([1, 100, 100_000]))
        case _:
            return draw(
                st.sampled_from(
                    [b"NaN", b"[Infinity]", b"null", b'"x"', b"{}{}", b"9" * 5000, b"1e999", b"\xef\xbb\xbf{}"]
                )
            )


words_in_query = st.one_of(
    texts, numbers.map(str), st.sampled_from(["true", "1", "false", "maybe", "1.5", "all", "-1"])
)
filter_values = st.one_of(
    st.lists(texts | st.sampled_from(["web", "worker", "running", "a=b", "="]), max_size=3),
    st.dictionaries(texts, st.booleans(), max_size=2),
    odd,
)
filters = st.one_of(
    st.dictionaries(st.sampled_from(FILTERS), filter_values, max_size=3).map(json.dumps),
    texts,
    st.just("[" * 10_000),
)


@st.composite
def queries(draw: st.DrawFn, parameters: list[Schema], version: str) -> str:
    """
    :param version: the one with which an update is not out of sequence.
    """
    parts: list[str] = []
    for parameter in parameters:
        name = parameter["name"]
        if name == "version" and draw(st.integers(0, 3)):
            parts.append(f"version={version}")
        elif name == "follow" or draw(st.booleans()):
            continue  # what is followed comes to no end
        else:
            value = filters if name == "filters" else words_in_query
            if "enum" in parameter and draw(st.booleans()):
                value = st.sampled_from(parameter["enum"])
            parts += [f"{name}={_encoded(draw(value))}" for _ in range(draw(st.sampled_from([1, 1, 1, 2])))]
    if draw(st.integers(0, 9)) == 0:
        parts.append(draw(st.sampled_from(["%", "a", "=", "&&", "version", "filters=%ff%fe", "%00=%00"])))
    return "&".join(parts)


def _encoded(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


headers = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(["application/json", "application/json; charset=utf-8", "text/plain", "", "x"]),
        "X-Registry-Auth": st.sampled_from(["", "e30=", "eyJhIjoiYiJ9", "@", "bnVsbA", "\xe4", "x" * 9000]),
        "Content-Encoding": st.sampled_from(["gzip", "identity", "x"]),
        "Expect": st.just("100-continue"),
    },
)
versions = st.sampled_from(["/v1.99", "/v0", "/v9" + "9" * 5000, "/v1.", "/v..", "/v1.45.1", "/v1.\u0663"])
prefixes = st.integers(0, 9).flatmap(lambda one: st.sampled_from(["", "/v1.45", "/v1.24"]) if one else versions)


@st.composite
def requests(
    draw: st.DrawFn, operation: tuple[str, str], identities: list[str], version: str, *, faults: int
) -> Request:
    """
    :param identities: ids, names and beginnings of ids of what is there.
    :param version: of what an update is to change.
    :param faults: at most so many in a body; where there are none, all the rest is right as well.
    """
    method, path = operation
    parameters = API["paths"][path][method.lower()]["parameters"]
    identity = draw(st.sampled_from(identities) if not faults or draw(st.integers(0, 9)) else texts)
    target = (draw(prefixes) if faults else "/v1.45") + path.replace("{id}", _encoded(identity) or "%20")
    query = draw(queries([each for each in parameters if each["in"] == "query"], version)) if faults else ""
    if not faults and any(each["name"] == "version" for each in parameters):
        query = f"version={version}"
    schema = schema_of(operation)
    body = None
    if schema is not None:
        sent = draw(bodies(path, schema, faults=min(faults, draw(st.integers(0, 2)))))
        body = json.dumps(sent).encode()
        if faults and draw(st.integers(0, 4)) == 0:
            body = draw(broken(body))
    given = {"Content-Type": "application/json"} if body is not None else {}
    if faults and draw(st.integers(0, 4)) == 0:
        given |= draw(headers)
    return Request(method, _encoded_path(target) + (f"?{query}" if query else ""), body, given)


def _encoded_path(path: str) -> str:
    return path if path.isascii() else quote(path, safe="/%")
