"""The paths of the Admin API, from the recorded answer of ``/endpoints``: what each one means for which entity."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple
from urllib.parse import unquote

from tests.support.admin_schemas import Schema

Kind = Literal["collection", "entity", "nested", "nested_entity", "relation", "other"]


class Meaning(NamedTuple):
    """What a template stands for. ``field`` leads from the child to its parent, or along a relation."""

    template: str
    kind: Kind
    schema: str = ""
    parent: str = ""
    field: str = ""


class Ask(NamedTuple):
    """A path of a request: its meaning and the keys in it, decoded, in their order."""

    meaning: Meaning
    keys: tuple[str, ...]


class Paths:
    """Finds the template that a path fits. Literal segments win over keys, as in Kong."""

    def __init__(self, templates: Iterable[str], schemas: Mapping[str, Schema]) -> None:
        known = set(templates)
        self._meanings = [(_segments(template), _meaning(template, known, schemas)) for template in known]
        self._meanings.sort(key=lambda entry: [segment.startswith("{") for segment in entry[0]])

    def find(self, path: str) -> Ask | None:
        """Return what a path (without query, still encoded) asks for, None where Kong knows no such path."""
        given = [unquote(segment) for segment in _segments(path)]
        for segments, meaning in self._meanings:
            if len(segments) == len(given) and all(
                part.startswith("{") or part == got for part, got in zip(segments, given, strict=True)
            ):
                keys = [got for part, got in zip(segments, given, strict=True) if part.startswith("{")]
                return Ask(meaning, tuple(keys))
        return None


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]


def _entity(segment: str, schemas: Mapping[str, Schema]) -> str | None:
    name = segment.strip("{}")
    return name if segment.startswith("{") and name in schemas else None


def _meaning(template: str, known: set[str], schemas: Mapping[str, Schema]) -> Meaning:
    segments = _segments(template)
    entities = [_entity(segment, schemas) for segment in segments]
    parent = entities[1] if len(segments) > 1 else None
    # Kong lists /targets, and answers 404 to it.
    if segments[:1] == ["targets"]:
        return Meaning(template, "other")
    if len(segments) == 1:
        return _collection(template, known, schemas)
    if len(segments) == 2 and parent:
        return Meaning(template, "entity", parent)
    if len(segments) in (3, 4) and parent:
        return _below(template, known, schemas, parent)
    return Meaning(template, "other")


def _collection(template: str, known: set[str], schemas: Mapping[str, Schema]) -> Meaning:
    schema = next((name for name in schemas if f"{template}/{{{name}}}" in known), None)
    return Meaning(template, "collection", schema) if schema else Meaning(template, "other")


def _below(template: str, known: set[str], schemas: Mapping[str, Schema], parent: str) -> Meaning:
    segments = _segments(template)
    stem = "/" + "/".join(segments[:3])
    child = next((name for name in schemas if f"{stem}/{{{name}}}" in known), None)
    if child is None:
        is_relation = len(segments) == 3 and segments[2] in schemas[parent].references
        return Meaning(template, "relation", parent, field=segments[2]) if is_relation else Meaning(template, "other")
    field = next((name for name, (target, _) in schemas[child].references.items() if target == parent), None)
    if field is None or (len(segments) == 4 and _entity(segments[3], schemas) != child):
        return Meaning(template, "other")
    return Meaning(template, "nested" if len(segments) == 3 else "nested_entity", child, parent, field)
