"""Structs as components of the document: msgspec's schemas, written as short as by hand."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.api.rest.openapi.json_schema import Schema, or_null
from kong_eventhooks_plugin.api.service.views import BodyBytes

REF: Final = "#/components/schemas/{name}"
_NULL: Final = {"type": "null"}


def component_name(kind: type) -> str:
    return kind.__name__.removesuffix("View")


def of_structs(kinds: Iterable[type]) -> dict[str, Schema]:
    _, components = msgspec.json.schema_components(kinds, schema_hook=_of_body, ref_template=REF)
    return {name.removesuffix("View"): _short(schema) for name, schema in components.items()}


def of_type(kind: Any) -> Schema:
    """Return the schema of a type that holds no struct."""
    return _short(msgspec.json.schema(kind))


def _of_body(kind: type) -> Schema:
    if kind is BodyBytes:
        return {"type": "string"}
    raise NotImplementedError(kind)


def _short(schema: Schema) -> Schema:
    """Drop titles and ``default: null``, write what may be null as one type, and a literal with its type."""
    short = {name: value for name, value in schema.items() if name != "title" and (name, value) != ("default", None)}
    if "$ref" in short:
        short["$ref"] = short["$ref"].removesuffix("View")
    if "properties" in short:
        short["properties"] = {name: _short(each) for name, each in short["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(short.get(name), dict):
            short[name] = _short(short[name])
    if "enum" in short:
        short = _of_literal(short.pop("enum")) | short
    if "anyOf" in short:
        kinds = short.pop("anyOf")
        others = [_short(each) for each in kinds if each != _NULL]
        either = others[0] if len(others) == 1 else {"anyOf": others}
        short = (or_null(either) if _NULL in kinds else either) | short
    return short


def _of_literal(values: list[str | None]) -> Schema:
    texts = [value for value in values if value is not None]
    schema: Schema = {"const": texts[0]} if len(texts) == 1 else {"type": "string", "enum": texts}
    return schema if len(texts) == len(values) else or_null(schema)
