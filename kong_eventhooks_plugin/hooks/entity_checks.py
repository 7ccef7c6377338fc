"""Rules over several fields of one record: Kong's ``Schema.entity_checkers``, those that our schema uses.

A check takes the record's values, its argument, the record's definition and the rule that tells whether a
value suits a field; it returns what is wrong with the record as a whole, None where nothing is. As in Kong,
a field that holds a reference to a vault ends the check, since nobody knows what the reference stands for
(``run_entity_check`` of kong/db/schema/init.lua).
"""

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

from kong_eventhooks_plugin.hooks import kong_texts as texts
from kong_eventhooks_plugin.hooks.references import is_reference

Suits = Callable[[Mapping[str, Any], Any], bool]


def problems(values: Mapping[str, Any], record: Mapping[str, Any], faulty: Container[str], suits: Suits) -> list[str]:
    """Return the texts for a record's ``@entity``. ``faulty`` holds the fields that are wrong by themselves."""
    found = []
    for check in record.get("entity_checks", ()):
        for name, argument in check.items():
            if name in _ONLY_WITH_GOOD_FIELDS and any(path in faulty for path in argument):
                continue
            text = _CHECKS[name](values, argument, record, suits)
            if text is not None:
                found.append(text)
    return found


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
    return any(field_at(record, path).get("referenceable") and is_reference(value_at(values, path)) for path in paths)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _conditional_at_least_one_of(
    values: Mapping[str, Any], argument: Mapping[str, Any], record: Mapping[str, Any], suits: Suits
) -> str | None:
    condition, wanted = argument["if_field"], argument["then_at_least_one_of"]
    value = value_at(values, condition)
    if value is None or _referenced(values, record, [condition, *wanted]):
        return None
    if not suits({**field_at(record, condition), **argument["if_match"]}, value):
        return None
    if any(_nonempty(value_at(values, path)) for path in wanted):
        return None
    return str(argument.get("then_err", texts.AT_LEAST_ONE_OF.format(_quoted(wanted))))


def _mutually_exclusive(
    values: Mapping[str, Any], argument: list[str], record: Mapping[str, Any], _suits: Suits
) -> str | None:
    if _referenced(values, record, argument) or sum(_nonempty(value_at(values, path)) for path in argument) < 2:
        return None
    return texts.MUTUALLY_EXCLUSIVE.format(_quoted(argument))


_CHECKS: dict[str, Callable[[Mapping[str, Any], Any, Mapping[str, Any], Suits], str | None]] = {
    "conditional_at_least_one_of": _conditional_at_least_one_of,
    "mutually_exclusive": _mutually_exclusive,
}

_ONLY_WITH_GOOD_FIELDS = frozenset({"mutually_exclusive"})
"""Those without Kong's ``run_with_invalid_fields``."""
