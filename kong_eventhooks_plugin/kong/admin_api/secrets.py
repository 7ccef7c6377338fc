"""Masks the secrets of one kind of entity: rules made once from its schema, then run over each entity.

Masked is what Kong marks (``schemas.SchemaField.secret``), what our table adds (``entity_metadata.SECRETS``), and, so
that a mistake masks too much and never too little: fields that the schema does not have, records, maps and lists whose
contents it does not describe, and types that can hold anything. A vault reference is no secret and is shown. A setting
reveals fields, by dotted path.

A masked value is ``***``; beside it stands its keyed digest by dotted path. In a list each secret item is ``***`` and
the whole list has one digest; in a map each key has its own.

Limit: what is nested deeper than 32 levels is masked whole.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kong_eventhooks_plugin.kong.admin_api.schemas import SchemaField
from kong_eventhooks_plugin.model.masking import MASK, is_reference

MAX_DEPTH = 32

Tree = Mapping[str, "Tree"]
"""Dotted paths as a tree; an empty one stands for everything from there on."""

Masker = Callable[[Any, str, dict[str, str]], Any]
"""Receives a value, its path, and the digests to add to; returns the value itself or what is shown instead."""

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
    """Makes the maskers of one schema. ``digest`` returns the digest of a value at a path."""

    def __init__(self, digest: Callable[[str, Any], str]) -> None:
        self._digest = digest

    def masker(self, field: SchemaField, secrets: Tree | None, opened: Tree | None) -> Masker | None:
        """Return how a field is masked; None where nothing in it ever is.

        ``secrets`` and ``opened`` are what the table and the setting say from this field on, None for nothing.
        """
        if opened is not None and not opened:
            return None
        if field.secret or secrets == {}:
            if field.copy_of:
                return _mask_copy
            return self.record({}, None, opened) if opened else self.secret
        if field.kind in _PLAIN:
            return None
        if field.kind == "record" and field.fields is not None:
            return self.record(field.fields, secrets, opened)
        if field.kind in {"array", "set", "map"} and field.item is not None:
            inner = self.masker(field.item, secrets, None if field.kind == "map" else opened)
            if inner is None:
                return None
            if field.kind != "map":
                return self.items(inner)
            return self.map(
                inner, {key: self.masker(field.item, secrets, each) for key, each in (opened or {}).items()}
            )
        return self.record({}, None, opened) if opened else self.secret

    def secret(self, value: Any, path: str, digests: dict[str, str]) -> Any:
        """Mask a value whole, or each item of a list."""
        if value is None or value == [] or value == {} or is_reference(value):
            return value
        digests[path] = self._digest(path, value)
        if isinstance(value, list):
            return [each if each is None or is_reference(each) else MASK for each in value]
        return MASK

    def record(self, fields: Mapping[str, SchemaField], secrets: Tree | None, opened: Tree | None) -> Masker:
        """Return the masker of a record: its fields one by one; those that the schema does not have are masked."""
        secrets, opened = secrets or {}, opened or {}
        known = {**dict.fromkeys(opened, SchemaField("unknown")), **fields}
        names = frozenset(known)
        inner = [(name, self.masker(field, secrets.get(name), opened.get(name))) for name, field in known.items()]
        maskers = tuple((name, masker) for name, masker in inner if masker is not None)

        def mask(value: Any, path: str, digests: dict[str, str]) -> Any:
            if not isinstance(value, dict):
                return self.secret(value, path, digests)
            prefix = f"{path}." if path else ""
            shown: dict[str, Any] = {}
            for name, masker in maskers:
                each = value.get(name)
                if each is not None:
                    seen = masker(each, prefix + name, digests)
                    if seen is not each:
                        shown[name] = seen
            if not names.issuperset(value):
                for name in value.keys() - names:
                    if not isinstance(value[name], bool):
                        shown[name] = self.secret(value[name], prefix + name, digests)
            return {**value, **shown} if shown else value

        return mask

    def items(self, inner: Masker) -> Masker:
        """Return the masker of a list: one digest for all that is masked in it."""

        def mask(value: Any, path: str, digests: dict[str, str]) -> Any:
            if not isinstance(value, list):
                return self.secret(value, path, digests)
            masked: dict[str, str] = {}
            shown = [inner(each, path, masked) for each in value]
            if masked:
                digests[path] = self._digest(path, value)
            return shown if any(one is not other for one, other in zip(shown, value, strict=True)) else value

        return mask

    def map(self, inner: Masker, special: Mapping[str, Masker | None]) -> Masker:
        """Return the masker of a map: each value by itself; ``special`` are those of single keys."""

        def mask(value: Any, path: str, digests: dict[str, str]) -> Any:
            if not isinstance(value, dict):
                return self.secret(value, path, digests)
            shown = {}
            for key, each in value.items():
                masker = special.get(key, inner)
                shown[key] = masker(each, f"{path}.{key}", digests) if masker else each
            return shown if any(shown[key] is not each for key, each in value.items()) else value

        return mask


def too_deep(value: Any) -> bool:
    """Return whether lists and objects are nested deeper than 32 levels in a value."""
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


def _mask_copy(value: Any, _path: str, _digests: dict[str, str]) -> Any:
    """Mask a value that stands elsewhere in the entity too, with its digest there."""
    if value is None or is_reference(value):
        return value
    return MASK
