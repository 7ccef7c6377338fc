"""What crud events say, taken together: each change in short, and whether they add up to what Kong has."""

from collections.abc import Iterable
from typing import Any

MASK = "***"


def folded(events: Iterable[dict[str, Any]], known: Iterable[tuple[str, dict[str, Any]]] = ()) -> dict[str, dict]:
    """Return the entities after ``dao:crud`` events, by schema and id, from those known before.

    Each event has to go on where the one before of its entity ended: what is told twice, or too late, does not.
    """
    there = {f"{schema}:{entity['id']}": entity for schema, entity in known}
    for event in events:
        data = event["data"]
        name = f"{data['schema']}:{data['entity']['id']}"
        if data["operation"] == "create":
            assert name not in there, f"created although it is there: {event}"
            there[name] = data["entity"]
        elif data["operation"] == "update":
            assert data["old_entity"] == there.get(name), f"changed from something else than it was: {event}"
            there[name] = data["entity"]
        else:
            assert data["entity"] == there.pop(name, None), f"deleted in another state than it was: {event}"
    return there


def same(told: dict[str, dict[str, Any]], listed: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Fail where what was told is not what Kong lists, secrets aside."""
    there = {f"{schema}:{entity['id']}": entity for schema, entity in listed}
    assert sorted(told) == sorted(there)
    for name, entity in told.items():
        shown = {field: value for field, value in entity.items() if MASK not in str(value)}
        assert shown.items() <= there[name].items(), f"{name}: told {shown}, listed {there[name]}"
