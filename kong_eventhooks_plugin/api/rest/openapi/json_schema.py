"""A field of Kong's schema language as JSON Schema 2020-12, as OpenAPI 3.1 has it.

Lengths are bytes there and characters here, so a text that is not ASCII can be valid here and too long there.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Schema = dict[str, Any]
Field = Mapping[str, Any]

NO_NUL: Final = "^[^\u0000]*$"


def of_field(field: Field) -> Schema:
    """Return a field's schema; one that may be unset accepts null."""
    schema = _BY_TYPE[field["type"]](field)
    if "description" in field:
        schema["description"] = field["description"]
    if "default" in field:
        schema["default"] = field["default"]
    return schema if field.get("required") else or_null(schema)


def of_record(field: Field, required: list[str]) -> Schema:
    """Return the schema of a record; ``required`` names its required fields."""
    properties = {name: of_field(each) for entry in field["fields"] for name, each in entry.items()}
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def or_null(schema: Schema) -> Schema:
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*kinds, *([] if "null" in kinds else ["null"])]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        return schema
    return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}


def _string(field: Field) -> Schema:
    schema: Schema = {"type": "string", "minLength": field.get("len_min", 1)}
    if "one_of" in field:
        return {"type": "string", "enum": list(field["one_of"])}
    if "len_max" in field:
        schema["maxLength"] = field["len_max"]
    patterns = [field["match"]] if "match" in field else []
    patterns += [f"^{field['starts_with']}"] if "starts_with" in field else []
    patterns += [rule["pattern"] for rule in field.get("match_all", ())]
    schema |= {"pattern": patterns[0]} if len(patterns) == 1 else {"pattern": NO_NUL}
    forbidden = [{"pattern": rule["pattern"]} for rule in field.get("match_none", ())]
    if forbidden:
        schema["not"] = {"anyOf": forbidden}
    return schema


def _integer(field: Field) -> Schema:
    schema: Schema = {"type": "integer"}
    if "between" in field:
        schema["minimum"], schema["maximum"] = field["between"]
    return schema


def _list(field: Field) -> Schema:
    schema: Schema = {"type": "array", "items": of_field({**field["elements"], "required": True})}
    if "len_max" in field:
        schema["maxItems"] = field["len_max"]
    return schema


def _map(field: Field) -> Schema:
    schema: Schema = {
        "type": "object",
        "propertyNames": of_field({**field["keys"], "required": True}),
        "additionalProperties": of_field({**field["values"], "required": True}),
    }
    if "len_max" in field:
        schema["maxProperties"] = field["len_max"]
    return schema


def _json(field: Field) -> Schema:
    return {"type": [kind for kind in field["json_schema"]["inline"]["type"] if kind != "null"]}


_BY_TYPE: Final[dict[str, Callable[[Field], Schema]]] = {
    "string": _string,
    "integer": _integer,
    "boolean": lambda _: {"type": "boolean"},
    "array": _list,
    "set": _list,
    "map": _map,
    "record": lambda field: of_record(field, []),
    "json": _json,
}
