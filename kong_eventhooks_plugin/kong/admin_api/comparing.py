"""What counts as a difference between two states of an entity.

Not a difference: the id and times that Kong sets, the rest of a running ttl, a field that is missing or null, the order
of a set, an empty list written as an object (Kong's encoder does that), what Kong adds from another entity (a
certificate's snis), and older names under which Kong repeats a field. References count by the id that they lead to.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kong_eventhooks_plugin.kong.admin_api.digests import canonical
from kong_eventhooks_plugin.kong.admin_api.schemas import SchemaField

NEVER_COMPARED = frozenset({"ttl", "ws_id"})
"""A ttl runs down from list to list; the workspace's id is in some answers of Kong and not in others."""

ID_AND_TIMES = frozenset({"id", "created_at", "updated_at"})

Form = Callable[[Any], Any]


def form_of(field: SchemaField) -> Form | None:
    """Return what normalizes a value of the field for the comparison; None where nothing has to."""
    if field.kind == "foreign":
        return reference
    if field.kind == "record" and field.fields is not None:
        return record_form(field.fields)
    if field.kind == "set":
        return _set
    if field.kind == "array":
        return _list_form(form_of(field.item) if field.item else None)
    return _map if field.kind == "map" else None


def record_form(fields: Mapping[str, SchemaField], left_out: frozenset[str] = frozenset()) -> Form:
    """Return a record's form: without nulls, ``left_out``, what comes from elsewhere, and repeated fields."""
    skipped = left_out | {name for name, field in fields.items() if field.transient or field.copy_of}
    inner_forms = {name: form_of(field) for name, field in fields.items() if name not in skipped}
    forms = tuple((name, inner) for name, inner in inner_forms.items() if inner is not None)

    def form(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        formed = {name: each for name, each in value.items() if each is not None and name not in skipped}
        for name, inner in forms:
            if name in formed:
                formed[name] = inner(formed[name])
        return formed

    return form


def differing(old: Any, new: Any, path: str = "") -> list[str]:
    """Return the dotted paths at which two formed values differ; lists count as a whole.

    Compared is what would be written as JSON: to Python 1 and true are equal.
    """
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if canonical(old) == canonical(new) else [path]
    prefix = f"{path}." if path else ""
    found: list[str] = []
    for name in old.keys() | new.keys():
        if name in old and name in new:
            found += differing(old[name], new[name], prefix + name)
        else:
            found.append(prefix + name)
    return found


def _list_form(inner: Form | None) -> Form:
    if inner is None:
        return _list

    def form(value: Any) -> Any:
        value = _list(value)
        return [inner(each) for each in value] if isinstance(value, list) else value

    return form


def reference(value: Any) -> Any:
    return value["id"] if isinstance(value, dict) and "id" in value else value


def _set(value: Any) -> Any:
    value = _list(value)
    if not isinstance(value, list) or len(value) < 2:
        return value
    try:
        return sorted(value)
    except TypeError:  # sets of records
        return sorted(value, key=canonical)


def _list(value: Any) -> Any:
    return [] if value == {} else value


def _map(value: Any) -> Any:
    return {} if value == [] else value
