"""Rules over several fields of one record: Kong's ``Schema.entity_checkers``, those that our schema uses.

A check takes the record's values, its argument, the record's definition and the function that returns the errors of
a field's value; it returns the record's error or None. As in Kong, a check is skipped where one of its fields is a
vault reference, whose value is not known here (``run_entity_check`` of kong/db/schema/init.lua).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.model.masking import is_reference

FieldCheck = Callable[[Mapping[str, Any], Any], Any]
"""Takes a field and a value; returns its errors, None where there are none."""


class RecordError(NamedTuple):
    """The error of the record as a whole, and those of single fields that come with it."""

    text: str
    fields: Mapping[str, Any] = {}


def record_errors(
    values: Mapping[str, Any], record: Mapping[str, Any], errors: dict[str, Any], errors_of: FieldCheck
) -> list[str]:
    """Return the texts for a record's ``@entity``. ``errors`` has the fields' own and gets those of the checks."""
    found = []
    for check in record.get("entity_checks", ()):
        for name, argument in check.items():
            if name in _ONLY_WITH_GOOD_FIELDS and any(path in errors for path in argument):
                continue
            error = _CHECKS[name](values, argument, record, errors_of)
            if error is not None:
                found.append(error.text)
                for path, field_error in error.fields.items():
                    _put(errors, path, field_error)
    return found


def _put(errors: dict[str, Any], path: str, error: Any) -> None:
    """Set the error of ``config.url`` and the like, unless the record itself has one already."""
    *above, name = path.split(".")
    record: Any = errors
    for each in above:
        record = record.setdefault(each, {})
        if not isinstance(record, dict):
            return
    record[name] = error


def field_at(record: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return the definition of ``config.url`` and the like."""
    field = record
    for name in path.split("."):
        field = next(each[name] for each in field["fields"] if name in each)
    return field


def value_at(values: Any, path: str) -> Any:
    """Return the value of ``config.url`` and the like, None where it or what holds it is missing."""
    for name in path.split("."):
        if not isinstance(values, Mapping):
            return None
        values = values.get(name)
    return values


def _nonempty(value: Any) -> bool:
    return value is not None and (not isinstance(value, str | list | Mapping) or len(value) > 0)


def _referenced(values: Mapping[str, Any], record: Mapping[str, Any], paths: Iterable[str]) -> bool:
    return any(is_reference(value_at(values, path)) and field_at(record, path).get("referenceable") for path in paths)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _conditional(
    values: Mapping[str, Any], argument: Mapping[str, Any], record: Mapping[str, Any], errors_of: FieldCheck
) -> RecordError | None:
    """Check ``then_field`` where ``if_field`` matches. As in Kong, a missing field has a text of its own."""
    condition, wanted = argument["if_field"], argument["then_field"]
    if _referenced(values, record, [condition, wanted]):
        return None
    if errors_of({**field_at(record, condition), **argument["if_match"]}, value_at(values, condition)) is not None:
        return None
    value = value_at(values, wanted)
    if value is None and argument["then_match"].get("required"):
        return RecordError(texts.CONDITIONAL.format(condition), {wanted: texts.REQUIRED})
    error = errors_of({**field_at(record, wanted), **argument["then_match"]}, value)
    if error is None:
        return None
    return RecordError(str(argument.get("then_err", texts.CONDITIONAL.format(condition))), {wanted: error})


def _mutually_exclusive(
    values: Mapping[str, Any], argument: list[str], record: Mapping[str, Any], _errors_of: FieldCheck
) -> RecordError | None:
    if _referenced(values, record, argument) or sum(_nonempty(value_at(values, path)) for path in argument) < 2:
        return None
    return RecordError(texts.MUTUALLY_EXCLUSIVE.format(_quoted(argument)))


_CHECKS: dict[str, Callable[[Mapping[str, Any], Any, Mapping[str, Any], FieldCheck], RecordError | None]] = {
    "conditional": _conditional,
    "mutually_exclusive": _mutually_exclusive,
}

_ONLY_WITH_GOOD_FIELDS = frozenset({"mutually_exclusive"})
"""Those without Kong's ``run_with_invalid_fields``."""
