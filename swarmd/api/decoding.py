"""JSON read as Go's decoder reads it, because clients were written against that decoder.

Keys match without regard to case (docker-py sends ``{"replicated": …}``), null leaves a field as it was, unknown fields
are ignored, and a wrong type is refused with Go's words. A field that Docker knows and this daemon does not have yet is
refused too, unless its value is empty: docker-py and Ansible send the empty ones.
"""

from __future__ import annotations

import enum
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import msgspec

from swarmd.errors import BadRequest, NotImplementedYet

S = TypeVar("S", bound=msgspec.Struct)

NotYet = Mapping[type, frozenset[str]]
"""Per struct: JSON keys that Docker has and this daemon does not."""

_LOWEST, _HIGHEST, _HIGHEST_UNSIGNED = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1


def parse(body: bytes) -> object:
    """One JSON document.

    :raises BadRequest: it is none, or something follows it.
    """
    text = body.decode("utf-8", "replace")
    try:
        parsed: object = json.loads(text, parse_constant=_no_such_constant)
        return parsed
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            raise BadRequest("unexpected content after JSON") from None
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise BadRequest("invalid JSON: unexpected EOF") from None
        raise BadRequest(
            f"invalid JSON: invalid character {text[error.pos]!r} at position {error.pos}: {error.msg}"
        ) from None
    except RecursionError:
        raise BadRequest("invalid JSON: exceeded max depth") from None
    except ValueError as error:  # a number of more than 4,300 digits
        raise BadRequest(f"invalid JSON: {error}") from None


def _no_such_constant(name: str) -> NoReturn:
    raise BadRequest(f"invalid JSON: invalid character {name[0]!r} looking for beginning of value")


def empty(value: object) -> bool:
    """Whether a field with this value says nothing: null, zero, or made of such only."""
    if isinstance(value, dict):
        return all(empty(inner) for inner in value.values())
    return not value


class Decoder:
    """Makes structs of parsed JSON.

    :param not_yet: fields that are refused unless they are empty.
    :param present: the same for fields that say something by their mere presence, as ``{"Global": {}}``.
    :param unsigned: JSON keys of whole numbers that cannot be negative.
    :param zeros: per struct, values of fields that were not sent, where the model's default is not Go's zero.
    """

    def __init__(
        self,
        *,
        not_yet: NotYet,
        present: NotYet,
        unsigned: frozenset[str],
        zeros: Mapping[type, Mapping[str, object]],
    ) -> None:
        self._not_yet = not_yet
        self._present = present
        self._unsigned = unsigned
        self._zeros = zeros

    def struct(self, kind: type[S], value: object, path: str = "") -> S:
        """
        :raises BadRequest: a type is wrong.
        :raises NotImplementedYet: a field is not there yet.
        """
        if value is None:
            value = {}
        if not isinstance(value, dict):
            _wrong(value, path, kind, f"swarm.{kind.__name__}")
        fields = {field.encode_name.lower(): field for field in msgspec.structs.fields(kind)}
        found: dict[str, object] = dict(self._zeros.get(kind, {}))
        for key, inner in value.items():
            field = fields.get(key.lower())
            if field is None:
                self._refuse_not_yet(kind, key, inner, path)
            elif inner is not None and not _is_unset_word(field.type, inner):
                found[field.name] = self._value(field.type, inner, kind, _join(path, field.encode_name))
        return kind(**found)

    def _refuse_not_yet(self, kind: type, key: str, value: object, path: str) -> None:
        for names, says_nothing in ((self._not_yet, empty), (self._present, lambda sent: sent is None)):
            name = next((known for known in names.get(kind, ()) if known.lower() == key.lower()), None)
            if name is not None and not says_nothing(value):
                raise not_implemented(_join(path, name))

    def _value(self, kind: Any, value: object, owner: type, path: str) -> object:  # noqa: ANN401, PLR0911
        if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
            kind = next(inner for inner in typing.get_args(kind) if inner is not type(None))
        origin = typing.get_origin(kind)
        if origin is list:
            if not isinstance(value, list):
                _wrong(value, path, owner, "[]string")
            (inner,) = typing.get_args(kind)
            return [self._value(inner, "" if item is None else item, owner, path) for item in value]
        if origin is dict:
            if not isinstance(value, dict):
                _wrong(value, path, owner, "map[string]string")
            return {_text(key, path, owner): _text(item, path, owner) for key, item in value.items()}
        if issubclass(kind, msgspec.Struct):
            return self.struct(kind, value, path)
        if issubclass(kind, enum.Enum):
            return _word(kind, _text(value, path, owner))
        if kind is str:
            return _text(value, path, owner)
        if kind is bool:
            if not isinstance(value, bool):
                _wrong(value, path, owner, "bool")
            return value
        if kind is float:
            if isinstance(value, bool) or not isinstance(value, int | float):
                _wrong(value, path, owner, "float32")
            return float(value)
        return self._whole(value, path, owner)

    def _whole(self, value: object, path: str, owner: type) -> int:
        unsigned = path.rpartition(".")[2] in self._unsigned
        name = "uint64" if unsigned else "int64"
        if isinstance(value, bool) or not isinstance(value, int):
            _wrong(value, path, owner, name)
        low, high = (0, _HIGHEST_UNSIGNED) if unsigned else (_LOWEST, _HIGHEST)
        if not low <= value <= high:
            _wrong(value, path, owner, name, exact=True)
        return value


def not_implemented(what: str) -> NotImplementedYet:
    return NotImplementedYet(f"{what} is not implemented by swarmd yet; it comes with a later version")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _text(value: object, path: str, owner: type) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        _wrong(value, path, owner, "string")
    # Half of a surrogate pair cannot be written as UTF-8; Go puts U+FFFD in its place.
    return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_unset_word(kind: object, value: object) -> bool:
    """An empty string in place of one of several words leaves the default, as null does."""
    return value == "" and isinstance(kind, type) and issubclass(kind, enum.Enum)


def _word(kind: type[enum.Enum], word: str) -> enum.Enum:
    try:
        return kind(word)
    except ValueError:
        raise BadRequest(f'invalid {kind.__name__}: "{word}"') from None


def _wrong(value: object, path: str, owner: type, wanted: str, *, exact: bool = False) -> NoReturn:
    kinds = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    got = kinds.get(type(value), "null")
    if exact or (isinstance(value, float) and wanted.endswith("int64")):
        got = f"{got} {value}"
    where = f"Go struct field {owner.__name__}.{path}" if path else "Go value"
    raise BadRequest(f"invalid JSON: json: cannot unmarshal {got} into {where} of type {wanted}")
