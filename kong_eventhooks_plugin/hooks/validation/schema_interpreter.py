"""Interprets Kong's schema language: fills in defaults and finds errors, in Kong's shape and texts.

It takes a definition (``hooks.schema``) and any value at all, and returns errors as Kong's ``Schema:validate`` does: a
text for a field, a mapping for a record, for an array a list with ``None`` for each valid element, texts under
``@entity`` for a record as a whole. tests/captures/schema-answers.jsonl has a real Kong's answers to compare with.

Differences, on purpose: a list or ``false`` in the place of a record is "expected a record" (Kong calls a list's
elements unknown fields and takes ``false`` for unset), a number there too (Kong answers 500), and of a map's invalid
entries the first in order is reported (Kong reports any). The schema bounds the depth, never the value, so a value that
contains itself does no harm.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kong_eventhooks_plugin.hooks.validation import entity_checks, field_checks
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.model.masking import is_reference

Errors = str | list[Any] | dict[str, Any]
Definition = Mapping[str, Any]


def with_defaults(field: Definition, value: Any) -> Any:
    """Return the value with every unset field of its records, and sets without repetitions.

    A value of another type than the definition's is returned as it is. Kong: ``Schema:process_auto_fields``.
    """
    fill = _FILLERS.get(field["type"])
    return fill(field, value) if fill else value


def errors_of(field: Definition, value: Any) -> Errors | None:
    """Return the errors of a value whose defaults are filled in; None where there are none.

    Kong: ``Schema:validate_field``.
    """
    if value is None:
        if "eq" in field:
            return field_checks.field_error(value, {"eq": field["eq"]})
        return texts.REQUIRED if field.get("required") else None
    if field.get("eq", value) is None:
        return field_checks.field_error(value, {"eq": None, "err": field.get("err", texts.EQ.format("null"))})
    return _CHECKERS[field["type"]](field, value)


def _fill_record(field: Definition, value: Any) -> Any:
    if value == []:
        value = {}  # Lua has one kind of empty table.
    if not isinstance(value, Mapping):
        return value
    filled = dict(value)
    for entry in field["fields"]:
        for name, definition in entry.items():
            filled[name] = with_defaults(definition, value[name]) if name in value else _default(definition)
    return filled


def _default(field: Definition) -> Any:
    if "default" in field:
        return list(field["default"]) if isinstance(field["default"], list) else field["default"]
    return with_defaults(field, {}) if field["type"] == "record" and field.get("required") else None


def _fill_list(field: Definition, value: Any) -> Any:
    if not isinstance(value, list):
        return [] if value == {} else value
    filled = [with_defaults(field["elements"], each) for each in value]
    return list(_distinct(filled)) if field["type"] == "set" else filled


def _distinct(values: list[Any]) -> list[Any]:
    seen: set[Any] = set()
    kept = []
    for value in values:
        if not isinstance(value, str) or value not in seen:
            kept.append(value)
        if isinstance(value, str):
            seen.add(value)
    return kept


def _fill_map(_field: Definition, value: Any) -> Any:
    return {} if value == [] else value


def _fill_integer(_field: Definition, value: Any) -> Any:
    # Lua has one kind of number, so 60.0 is an integer.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_list(field: Definition, value: Any) -> Errors | None:
    if not isinstance(value, list):
        return texts.SET if field["type"] == "set" else texts.ARRAY
    element = {**field["elements"], "required": True}
    found = [errors_of(element, each) for each in value]
    while found and found[-1] is None:
        found.pop()
    return found or field_checks.field_error(value, field)


def _check_map(field: Definition, value: Any) -> Errors | None:
    if isinstance(value, list):
        # A list is a Lua table as well, with numbers for keys.
        return texts.STRING
    if not isinstance(value, Mapping):
        return texts.MAP
    return next(iter(entry_errors(field, value).values()), None) or field_checks.field_error(value, field)


def entry_errors(field: Definition, value: Mapping[Any, Any]) -> dict[Any, Errors]:
    """Return the errors of all entries of a map."""
    key_field, value_field = {**field["keys"], "required": True}, {**field["values"], "required": True}
    found = {key: errors_of(key_field, key) or errors_of(value_field, each) for key, each in value.items()}
    return {key: error for key, error in found.items() if error is not None}


def _check_record(field: Definition, value: Any) -> Errors | None:
    if not isinstance(value, Mapping):
        return texts.RECORD
    definitions = {name: definition for entry in field["fields"] for name, definition in entry.items()}
    errors: dict[str, Any] = {str(name): texts.UNKNOWN for name in value if name not in definitions}
    for name, definition in definitions.items():
        found = errors_of(definition, value.get(name))
        if found is not None:
            errors[name] = found
    whole = entity_checks.record_errors(value, field, errors, errors_of)
    return {**errors, "@entity": whole} if whole else errors or None


def _check_string(field: Definition, value: Any) -> Errors | None:
    if not isinstance(value, str):
        return texts.STRING
    if field.get("referenceable") and is_reference(value):
        return None
    return field_checks.field_error(value, {"len_min": 1, **field})


def _check_boolean(field: Definition, value: Any) -> Errors | None:
    return field_checks.field_error(value, field) if isinstance(value, bool) else texts.BOOLEAN


def _check_integer(field: Definition, value: Any) -> Errors | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return texts.INTEGER
    return field_checks.field_error(value, field)


def _check_json(field: Definition, value: Any) -> Errors | None:
    wanted = field["json_schema"]["inline"]["type"]
    if isinstance(value, Mapping) or (isinstance(value, str) and "string" in wanted):
        return None
    return texts.JSON_TYPE.format(", ".join(wanted), _json_type(value))


def _json_type(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return "integer"
    names = ((bool, "boolean"), (int, "integer"), (float, "number"), (list, "array"))
    return next((name for kind, name in names if isinstance(value, kind)), "string")


_FILLERS: dict[str, Callable[[Definition, Any], Any]] = {
    "record": _fill_record,
    "array": _fill_list,
    "set": _fill_list,
    "map": _fill_map,
    "json": _fill_map,
    "integer": _fill_integer,
}

_CHECKERS: dict[str, Callable[[Definition, Any], Errors | None]] = {
    "record": _check_record,
    "array": _check_list,
    "set": _check_list,
    "map": _check_map,
    "json": _check_json,
    "string": _check_string,
    "boolean": _check_boolean,
    "integer": _check_integer,
}
