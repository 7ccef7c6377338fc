"""JSON-ready values <-> ``google.protobuf.Struct``; Unix seconds <-> ``google.protobuf.Timestamp``.

A Struct's numbers are doubles. A whole one is read as an integer, as in JSON; an integer beyond 2^53 is rounded. A
Struct has no order: names are read sorted, so that equal data are equal bytes.

Limits: of a request's Struct ``MAX_VALUES`` values are read: each costs four microseconds, and a megabyte may hold half
a million. Protobuf's readers accept 100 nested messages, three to a level of JSON. A value that is nested deeper than
``MAX_DEPTH`` levels is sent as its JSON text, so that the reader can read the rest.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks.validation.json_values import MAX_VALUES

MAX_DEPTH: Final = 32
"""Levels, the record itself included: as many as fit where the record is three messages deep."""

_EXACT: Final = 1 << 53
_FIRST: Final = -62_135_596_800
_LAST: Final = 253_402_300_799
"""Timestamp's own range: the years 1 to 9999."""


def from_struct(struct: Struct) -> dict[str, Any]:
    """Raise ``ValidationError`` where it has more than ``MAX_VALUES`` values."""
    return _record(struct, _Count())


class _Count:
    """Counts values, names too."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def take(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise ValidationError({"@entity": [f"contains more than {MAX_VALUES:,} values"]})


def to_struct(data: Mapping[str, Any]) -> Struct:
    struct = Struct()
    _fill(struct, data, 1)
    return struct


def from_timestamp(timestamp: Timestamp, field: str) -> float:
    """Return Unix seconds, an integer where they are whole; raises ``ValidationError``."""
    seconds, nanos = timestamp.seconds, timestamp.nanos
    if not (_FIRST <= seconds <= _LAST and 0 <= nanos < 10**9):
        raise ValidationError({field: "expected a time of the years 1 to 9999, with 0 to 999,999,999 nanoseconds"})
    return seconds + nanos / 1e9 if nanos else seconds


def to_timestamp(seconds: float) -> Timestamp:
    """``from_timestamp`` returns the same number."""
    whole = int(seconds // 1)
    nanos = round((seconds - whole) * 1e9)
    return Timestamp(seconds=whole + nanos // 10**9, nanos=nanos % 10**9)


def _record(struct: Struct, count: _Count) -> dict[str, Any]:
    count.take(2 * len(struct.fields))
    return {name: _plain(struct.fields[name], count) for name in sorted(struct.fields)}


def _plain(value: Value, count: _Count) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _record(value.struct_value, count)
    if kind == "list_value":
        count.take(len(value.list_value.values))
        return [_plain(each, count) for each in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= _EXACT else number
    return None if kind in {None, "null_value"} else getattr(value, kind)


def _fill(struct: Struct, data: Mapping[str, Any], depth: int) -> None:
    for name, each in data.items():
        _put(struct.fields[name], each, depth)


def _put(into: Value, value: Any, depth: int) -> None:
    """Set ``into``; ``depth`` is that of the record or list around it."""
    if value is None:
        into.null_value = NULL_VALUE
    elif isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, int | float):
        into.number_value = value
    elif isinstance(value, str):
        into.string_value = value
    elif depth >= MAX_DEPTH:
        into.string_value = msgspec.json.encode(value).decode()
    elif isinstance(value, Mapping):
        # Also where it is empty.
        into.struct_value.SetInParent()
        _fill(into.struct_value, value, depth + 1)
    else:
        into.list_value.SetInParent()
        for each in value:
            _put(into.list_value.values.add(), each, depth + 1)
