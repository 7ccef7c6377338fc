"""Hides the secrets of one kind of entity: rules made once from its schema, then run over each entity.

Hidden is what Kong marks (``schemas.SchemaField.secret``), what our table adds (``kong_facts.SECRETS``), and, so that a
mistake hides too much and never too little: fields that the schema does not have, records, maps and lists whose
contents it does not tell, and types that can hold anything. A vault reference is no secret and is shown. A setting
opens fields, by dotted path.

A hidden value is ``***``; beside it stands its keyed digest by dotted path. In a list each secret item is ``***`` and
the whole list has one digest; in a map each key has its own.

Limit: what is nested deeper than 32 levels is hidden whole.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kong_eventhooks_plugin.kong.admin_api.schemas import SchemaField
from kong_eventhooks_plugin.model.masking import MASK, is_reference

MAX_DEPTH = 32

Tree = Mapping[str, "Tree"]
"""Dotted paths as a tree; an empty one stands for everything from there on."""

Masker = Callable[[Any, str, dict[str, str]], Any]
"""Takes a value, its path, and the digests to add to; returns the value itself or what is shown in its place."""

_NESTED = (dict, list)
_PLAIN = frozenset({"string", "number", "integer", "boolean", "foreign"})


def tree_of(paths: "tuple[str, ...] | list[str]") -> Tree:
    """Return dotted paths as a tree; a path covers those that go on from it."""
    top: dict[str, Any] = {}
    for path in sorted(paths):
        at = top
        *heads, last = path.split(".")
        for head in heads:
            if head in at and not at[head]:
                break  # a shorter path stands for this one too
            at = at.setdefault(head, {})
        else:
            at[last] = {}
    return top


class MaskBuilder:
    """Makes the covers of one schema. ``digest`` gives the digest of a value at a path."""

    def __init__(self, digest: Callable[[str, Any], str]) -> None:
        self._digest = digest

    def cover(self, field: SchemaField, secrets: Tree | None, opened: Tree | None) -> Masker | None:
        """Return how a field is hidden; None where nothing in it ever is.

        ``secrets`` and ``opened`` are what the table and the setting say from this field on, None where nothing.
        """
        if opened is not None and not opened:
            return None
        if field.secret or secrets == {}:
            if field.copy_of:
                return _quiet
            return self.record({}, None, opened) if opened else self.secret
        if field.kind in _PLAIN:
            return None
        if field.kind == "record" and field.fields is not None:
            return self.record(field.fields, secrets, opened)
        if field.kind in {"array", "set", "map"} and field.item is not None:
            inner = self.cover(field.item, secrets, None if field.kind == "map" else opened)
            if inner is None:
                return None
            if field.kind != "map":
                return self.items(inner)
            return self.map(inner, {key: self.cover(field.item, secrets, each) for key, each in (opened or {}).items()})
        return self.record({}, None, opened) if opened else self.secret

    def secret(self, value: Any, path: str, digests: dict[str, str]) -> Any:
        """Hide a value whole, or each item of a list."""
        if value is None or value == [] or value == {} or is_reference(value):
            return value
        digests[path] = self._digest(path, value)
        if isinstance(value, list):
            return [each if each is None or is_reference(each) else MASK for each in value]
        return MASK

    def record(self, fields: Mapping[str, SchemaField], secrets: Tree | None, opened: Tree | None) -> Masker:
        """Return the cover of a record: its fields one by one; those that the schema does not have are hidden."""
        inner = {
            name: self.cover(field, (secrets or {}).get(name), (opened or {}).get(name))
            for name, field in fields.items()
        }
        named = {name: cover for name, cover in inner.items() if cover is not None}
        for name in (opened or {}).keys() - fields.keys():
            cover = self.cover(SchemaField("unknown"), None, (opened or {})[name])
            inner[name] = cover
            if cover is not None:
                named[name] = cover
        return self.by_name(named, frozenset(inner))

    def by_name(self, named: Mapping[str, Masker], known: frozenset[str]) -> Masker:
        """Return the cover that runs ``named`` over the fields of those names and hides what is not ``known``."""
        covers = tuple(named.items())

        def cover(value: Any, path: str, digests: dict[str, str]) -> Any:
            if not isinstance(value, dict):
                return self.secret(value, path, digests)
            prefix = f"{path}." if path else ""
            shown: dict[str, Any] = {}
            for name, inner in covers:
                each = value.get(name)
                if each is not None:
                    seen = inner(each, prefix + name, digests)
                    if seen is not each:
                        shown[name] = seen
            if not known.issuperset(value):
                for name in value.keys() - known:
                    if not isinstance(value[name], bool):
                        shown[name] = self.secret(value[name], prefix + name, digests)
            return {**value, **shown} if shown else value

        return cover

    def items(self, inner: Masker) -> Masker:
        """Return the cover of a list: one digest for all that is hidden in it."""

        def cover(value: Any, path: str, digests: dict[str, str]) -> Any:
            if not isinstance(value, list):
                return self.secret(value, path, digests)
            hidden: dict[str, str] = {}
            shown = [inner(each, path, hidden) for each in value]
            if hidden:
                digests[path] = self._digest(path, value)
            return shown if any(one is not other for one, other in zip(shown, value, strict=True)) else value

        return cover

    def map(self, inner: Masker, special: Mapping[str, Masker | None]) -> Masker:
        """Return the cover of a map: each value by itself; ``special`` are those of single keys."""

        def cover(value: Any, path: str, digests: dict[str, str]) -> Any:
            if not isinstance(value, dict):
                return self.secret(value, path, digests)
            shown = {}
            for key, each in value.items():
                hide = special.get(key, inner)
                shown[key] = hide(each, f"{path}.{key}", digests) if hide else each
            return shown if any(shown[key] is not each for key, each in value.items()) else value

        return cover


def too_deep(value: Any) -> bool:
    """Tell whether lists and objects are nested deeper than 32 levels in a value."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, _NESTED)
        ]
        if not level:
            return False
    return True


def _quiet(value: Any, _path: str, _digests: dict[str, str]) -> Any:
    """Hide a value that stands elsewhere in the entity too, with its digest there."""
    if value is None or is_reference(value):
        return value
    return MASK
