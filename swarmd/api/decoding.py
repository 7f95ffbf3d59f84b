"""JSON read as Go's decoder reads it, because clients were written against that decoder.

Keys match without regard to case (docker-py sends ``{"replicated": …}``), null leaves a field as it was, unknown fields
are ignored, and a wrong type is refused with Go's words. A field that Docker knows and this daemon does not act on yet
is refused too, unless its value is empty: docker-py and Ansible send the empty ones.
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
"""Per struct: JSON keys that this daemon does not act on, whether it has a field for them or not."""

_RANGES = {
    "int": (-(1 << 63), (1 << 63) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
}
"""Go's whole numbers."""


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
    :param words: values of enumerations that are refused as such fields are.
    :param whole: Go's types of whole numbers by JSON key, where it is not int64.
    :param zeros: per struct, values of fields that were not sent, where the model's default is not Go's zero.
    :param names: Go's names of structs, where it is not ``swarm.`` and ours.
    """

    def __init__(
        self,
        *,
        not_yet: NotYet,
        present: NotYet,
        words: frozenset[enum.Enum],
        whole: Mapping[str, str],
        zeros: Mapping[type, Mapping[str, object]],
        names: Mapping[type, str],
    ) -> None:
        self._not_yet = not_yet
        self._present = present
        self._words = words
        self._whole_numbers = whole
        self._zeros = zeros
        self._names = names

    def struct(self, kind: type[S], value: object, path: str = "", owner: type | None = None) -> S:
        """
        :raises BadRequest: a type is wrong.
        :raises NotImplementedYet: a field is not there yet.
        """
        if value is None:
            value = {}
        if not isinstance(value, dict):
            self._wrong(value, path, owner or kind, self._name(kind))
        fields = {field.encode_name.lower(): field for field in msgspec.structs.fields(kind)}
        found: dict[str, object] = dict(self._zeros.get(kind, {}))
        for key, inner in value.items():
            field = fields.get(key.lower())
            if self._refused_unless_empty(kind, key, inner, path) or field is None:
                continue
            if inner is not None and not _is_unset_word(field.type, inner):
                found[field.name] = self._value(field.type, inner, kind, _join(path, field.encode_name))
        return kind(**found)

    def _refused_unless_empty(self, kind: type, key: str, value: object, path: str) -> bool:
        """Whether the field is one that is not acted on; an empty one is as if it had not been sent."""
        for names, says_nothing in ((self._not_yet, empty), (self._present, lambda sent: sent is None)):
            name = next((known for known in names.get(kind, ()) if known.lower() == key.lower()), None)
            if name is None:
                continue
            if not says_nothing(value):
                raise not_implemented(_join(path, name))
            return True
        return False

    def _value(self, kind: Any, value: object, owner: type, path: str) -> object:  # noqa: ANN401, PLR0911
        if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
            kind = next(inner for inner in typing.get_args(kind) if inner is not type(None))
        origin = typing.get_origin(kind)
        if origin is list:
            (inner,) = typing.get_args(kind)
            if not isinstance(value, list):
                self._wrong(value, path, owner, f"[]{self._name(inner)}")
            return [self._item(inner, item, owner, path) for item in value]
        if origin is dict:
            _, inner = typing.get_args(kind)
            if not isinstance(value, dict):
                self._wrong(value, path, owner, f"map[string]{self._name(inner)}")
            return {self._text(key, path, owner): self._item(inner, item, owner, path) for key, item in value.items()}
        if issubclass(kind, msgspec.Struct):
            return self.struct(kind, value, path, owner)
        if issubclass(kind, enum.Enum):
            return self._word(kind, self._text(value, path, owner), path)
        if kind is str:
            return self._text(value, path, owner)
        if kind is bool:
            if not isinstance(value, bool):
                self._wrong(value, path, owner, "bool")
            return value
        if kind is float:
            if isinstance(value, bool) or not isinstance(value, int | float):
                self._wrong(value, path, owner, "float32")
            return float(value)
        return self._whole(value, path, owner)

    def _item(self, kind: type, value: object, owner: type, path: str) -> object:
        """Of a list or a map, whose nulls are zeros of their type."""
        if value is None and not issubclass(kind, msgspec.Struct):
            return kind()
        return self._value(kind, value, owner, path)

    def _whole(self, value: object, path: str, owner: type) -> int:
        name = self._whole_numbers.get(path.rpartition(".")[2], "int64")
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong(value, path, owner, name)
        low, high = _RANGES[name]
        if not low <= value <= high:
            self._wrong(value, path, owner, name, exact=True)
        return value

    def _text(self, value: object, path: str, owner: type) -> str:
        if not isinstance(value, str):
            self._wrong(value, path, owner, "string")
        # Half of a surrogate pair cannot be written as UTF-8; Go puts U+FFFD in its place.
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _word(self, kind: type[enum.Enum], word: str, path: str) -> enum.Enum:
        try:
            meant = kind(word.lower())
        except ValueError:
            raise BadRequest(f'invalid {kind.__name__}: "{word}"') from None
        if meant in self._words:
            raise not_implemented(f"{path} {word}")
        return meant

    def _name(self, kind: type) -> str:
        """Go's."""
        if issubclass(kind, msgspec.Struct):
            return self._names.get(kind, f"swarm.{kind.__name__}")
        return "string" if kind is str else kind.__name__

    def _wrong(self, value: object, path: str, owner: type, wanted: str, *, exact: bool = False) -> NoReturn:
        kinds = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
        got = kinds.get(type(value), "null")
        if exact or (isinstance(value, float) and wanted in _RANGES):
            got = f"{got} {value}"
        where = f"Go struct field {self._name(owner).rpartition('.')[2]}.{path}" if path else "Go value"
        raise BadRequest(f"invalid JSON: json: cannot unmarshal {got} into {where} of type {wanted}")


def not_implemented(what: str) -> NotImplementedYet:
    return NotImplementedYet(f"{what} is not implemented by swarmd yet; it comes with a later version")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_unset_word(kind: object, value: object) -> bool:
    """An empty string in place of one of several words leaves the default, as null does."""
    return value == "" and isinstance(kind, type) and issubclass(kind, enum.Enum)
