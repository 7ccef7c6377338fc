"""Bodies of requests to the Admin API: JSON, or a form whose keys say where a value belongs (``config.minute``).

A form's values are texts; what they stand for, the schema says.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from tests.support.admin_schemas import Field, fields_of


class BadBody(Exception):
    """The body is not what its content type says."""


def decode(content_type: str, body: bytes) -> tuple[dict[str, Any], bool]:
    """Return the body's fields and whether they are a form's, whose texts have no type yet."""
    if not body:
        return {}, True
    if content_type.startswith("application/json"):
        try:
            value = json.loads(body)
        except ValueError as error:
            raise BadBody("Cannot parse JSON body") from error
        if not isinstance(value, dict):
            raise BadBody("Cannot parse JSON body")
        return value, False
    return from_pairs(parse_qsl(body.decode(), keep_blank_values=True)), True


def from_pairs(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the tree that a form's pairs describe; a key that comes twice is an array."""
    tree: dict[str, Any] = {}
    for key, value in pairs:
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        name, brackets = re.fullmatch(r"(.+?)((?:\[\d*\])?)", last).groups()  # type: ignore[union-attr] # always matches
        if brackets or name in node:
            before = node.get(name, [])
            node[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            node[name] = value
    return tree


def typed(values: dict[str, Any], fields: dict[str, Field]) -> dict[str, Any]:
    """Return a form's values with the types that the schema gives them; what does not fit stays a text."""
    return {name: _typed(value, fields.get(name)) for name, value in values.items()}


def _typed(value: Any, about: Field | None) -> Any:
    if about is None or value is None:
        return value
    kind = about["type"]
    if kind in ("array", "set"):
        items = value if isinstance(value, list) else [value]
        return [] if items == [""] else [_typed(item, about.get("elements")) for item in items]
    if isinstance(value, dict):
        return typed(value, fields_of(about)) if kind == "record" else value
    return _scalar(value, kind)


def _scalar(value: str, kind: str) -> Any:
    if value == "" and kind != "string":
        return None
    try:
        if kind in ("integer", "number"):
            number = float(value)
            return int(number) if number.is_integer() else number
    except ValueError:
        return value
    return {"true": True, "false": False}.get(value, value) if kind == "boolean" else value
