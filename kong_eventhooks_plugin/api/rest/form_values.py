"""A form's texts get the types of their fields: Kong's ``infer_value`` (kong/api/arguments.lua).

Only fields of the schema change: a number for an integer field, ``true`` and ``false`` for a boolean, one value for a
list, an empty text for "unset". What does not fit stays as it is, for validation to refuse.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Field = Mapping[str, Any]

_HEXADECIMAL = re.compile(r"\s*([+-]?)0[xX]([0-9a-fA-F]{1,15})\s*\Z", re.ASCII)
_DECIMAL = re.compile(r"\s*[+-]?(?:\d{1,40}\.?\d{0,40}|\.\d{1,40})(?:[eE][+-]?\d{1,3})?\s*\Z", re.ASCII)


def inferred(value: Any, field: Field) -> Any:
    if value == "":
        return None
    infer = _BY_TYPE.get(field["type"])
    return infer(value, field) if infer else value


def number(text: str) -> int | float | None:
    """Return what Lua's ``tonumber`` returns; None also for ``inf`` and ``nan``, which LuaJIT accepts."""
    if found := _HEXADECIMAL.match(text):
        return int(f"{found[1]}{found[2]}", 16)
    if not _DECIMAL.match(text):
        return None
    value = float(text)
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() else value


def _number(value: Any, _field: Field) -> Any:
    found = number(value) if isinstance(value, str) else None
    return value if found is None else found


def _boolean(value: Any, _field: Field) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _list(value: Any, field: Field) -> Any:
    if isinstance(value, Mapping):
        return value
    values = value if isinstance(value, list) else [value]
    return [inferred(each, field["elements"]) for each in values]


def _map(value: Any, field: Field) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: inferred(each, field["values"]) for name, each in value.items()}


def _record(value: Any, field: Field) -> Any:
    if not isinstance(value, Mapping):
        return value
    fields = {name: definition for entry in field["fields"] for name, definition in entry.items()}
    return {name: inferred(each, fields[name]) if name in fields else each for name, each in value.items()}


_BY_TYPE: dict[str, Callable[[Any, Field], Any]] = {
    "number": _number,
    "integer": _number,
    "boolean": _boolean,
    "array": _list,
    "set": _list,
    "map": _map,
    "record": _record,
}
