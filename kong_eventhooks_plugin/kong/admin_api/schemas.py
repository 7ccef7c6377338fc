"""What is read of GET /schemas/<entity> and /schemas/plugins/<name>.

Kong's form: ``{"fields": [{"key": {"type": "string", "unique": true}}, ...]}``, with records, arrays, sets and maps
nested in it. A plugin's schema also has ``shorthand_fields``: older names of fields, which Kong still prints
beside the new ones, with their values and without their marks (seen: rate-limiting answers ``config.redis_password`` in
clear). ``replaced_with`` says what such a field is a copy of.

Limits: schemas are read 12 levels deep, with 4,096 fields in all; what lies beyond is as if the schema did not have it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

MAX_DEPTH = 12
MAX_FIELDS = 4_096

_KEPT_FLAGS = ("type", "reference", "on_delete", "unique", "encrypted", "referenceable", "auto", "timestamp",
               "transient", "abstract", "translate_backwards")  # fmt: skip
_KEPT_CHILDREN = ("elements", "values")
_KEPT_LISTS = ("fields", "shorthand_fields")


class SchemaField(NamedTuple):
    """One field: its type, its marks, what is in it.

    ``secret``: Kong keeps it encrypted, or a vault reference may stand for it. ``stamp``: a time that Kong sets.
    ``copy_of``: the path beside it that it repeats under an older name. ``fields`` are a record's, ``item`` is what
    an array, a set or a map holds; None where the schema does not say.
    """

    kind: str
    secret: bool = False
    unique: bool = False
    stamp: bool = False
    transient: bool = False
    shorthand: bool = False
    copy_of: tuple[str, ...] = ()
    reference: str | None = None
    on_delete: str | None = None
    fields: "Mapping[str, SchemaField] | None" = None
    item: "SchemaField | None" = None


def read_schema(document: Any) -> SchemaField:
    """Return a schema as a record; one without fields where the document is none. Never raises."""
    return _SchemaReader().record(document, 0)


def pruned(document: Any) -> dict[str, Any]:
    """Return only what ``read_schema`` reads of a schema: a fifth of it.

    Defaults are left out for a reason of their own: Kong makes one up for the session plugin's ``secret``.
    """
    return _pruned(document, 0) if isinstance(document, Mapping) else {}


def _pruned(document: Mapping[str, Any], depth: int) -> dict[str, Any]:
    kept = {name: document[name] for name in _KEPT_FLAGS if name in document}
    replaced = _replaced_with(document)
    if replaced:
        kept["deprecation"] = {"replaced_with": [{"path": list(replaced)}]}
    if depth >= MAX_DEPTH:
        return kept
    for name in _KEPT_CHILDREN:
        if isinstance(document.get(name), Mapping):
            kept[name] = _pruned(document[name], depth + 1)
    for name in _KEPT_LISTS:
        if isinstance(document.get(name), list):
            kept[name] = [{key: _pruned(field, depth + 1)} for key, field in _named(document[name])]
    return kept


class _SchemaReader:
    """Reads one schema and counts its fields."""

    def __init__(self) -> None:
        self._remaining = MAX_FIELDS

    def record(self, document: Any, depth: int) -> SchemaField:
        document = document if isinstance(document, Mapping) else {}
        fields: dict[str, SchemaField] | None = None
        if depth < MAX_DEPTH and not document.get("abstract") and isinstance(document.get("fields"), list):
            fields = {name: self.field(each, depth + 1) for name, each in self._some(document["fields"])}
            for name, each in self._some(document.get("shorthand_fields")):
                fields.setdefault(name, self.shorthand(each, fields, depth + 1))
        return _marked(document, "record")._replace(fields=fields)

    def field(self, document: Mapping[str, Any], depth: int) -> SchemaField:
        kind = document.get("type")
        if kind == "record":
            return self.record(document, depth)
        child = document.get("values" if kind == "map" else "elements")
        item = self.field(child, depth + 1) if isinstance(child, Mapping) and depth < MAX_DEPTH else None
        return _marked(document, str(kind))._replace(item=item)

    def shorthand(self, document: Mapping[str, Any], beside: Mapping[str, SchemaField], depth: int) -> SchemaField:
        """Return an older name's field with the marks of the field that it repeats."""
        field = self.field(document, depth)
        path = _replaced_with(document)
        at: SchemaField | None = SchemaField("record", fields=beside)
        for part in path:
            at = (at.fields or {}).get(part) if at else None
        return field._replace(shorthand=True, copy_of=path, secret=field.secret or at is None or at.secret)

    def _some(self, fields: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name, field in _named(fields):
            if self._remaining <= 0:
                return
            self._remaining -= 1
            yield name, field


def _marked(document: Mapping[str, Any], kind: str) -> SchemaField:
    reference, on_delete = document.get("reference"), document.get("on_delete")
    return SchemaField(
        kind,
        secret=bool(document.get("encrypted") or document.get("referenceable")),
        unique=bool(document.get("unique")),
        stamp=bool(document.get("auto") and document.get("timestamp")),
        transient=bool(document.get("transient")),
        reference=reference if isinstance(reference, str) else None,
        on_delete=on_delete if isinstance(on_delete, str) else None,
    )


def _named(fields: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the fields of Kong's list, each in an object of its own."""
    for entry in fields if isinstance(fields, list) else ():
        if isinstance(entry, Mapping):
            yield from ((name, field) for name, field in entry.items() if isinstance(field, Mapping))


def _replaced_with(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the path that an older name stands for; Kong before 3.8 calls it ``translate_backwards``."""
    path: Any = document.get("translate_backwards")
    deprecation = document.get("deprecation")
    if isinstance(deprecation, Mapping):
        first = next(iter(_items(deprecation.get("replaced_with"))), None)
        path = first.get("path") if isinstance(first, Mapping) else path
    return tuple(part for part in _items(path) if isinstance(part, str))


def _items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else ()
