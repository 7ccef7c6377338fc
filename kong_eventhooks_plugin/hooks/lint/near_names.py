"""Finds names that are nearly ours: another plugin's (``event-hook``), an unknown field's (``snoze``).

Pure. A suggestion is only ever a text: nothing is read under the name that was probably meant.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from kong_eventhooks_plugin.hooks.schema import CRUD_PLUGIN, PLUGIN, Field
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts

_PLUGIN_KEYS: Final = (
    "id", "name", "instance_name", "config", "_config", "enabled", "protocols", "tags", "service", "route", "consumer",
    "consumer_group", "ordering", "partials", "condition", "created_at", "updated_at",
)  # fmt: skip
"""A plugin's keys, Kong's and decK's."""

_CLOSE: Final = 0.8
_CLOSE_FIELD: Final = 0.65
"""For a field that is certainly wrong; the other is for names that may be somebody's own."""


def plugin_meant(name: Any) -> str | None:
    """Return which of our plugins a name nearly is; None where it is one, or far from both."""
    if not isinstance(name, str) or name in (PLUGIN, CRUD_PLUGIN):
        return None
    return _closest(name, (PLUGIN, CRUD_PLUGIN), _CLOSE)


def plugin_key_errors(plugin: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key that a plugin does not have but nearly does, and its error."""
    return _near_keys(plugin, _PLUGIN_KEYS)


def plugins_key_errors(entity: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key that nearly is ``plugins``, and its error."""
    return _near_keys(entity, ("plugins",))


def _near_keys(entity: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for key in entity:
        if isinstance(key, str) and key not in known and not key.startswith("_"):
            meant = _closest(key, known, _CLOSE)
            if meant is not None and meant not in entity:
                yield key, _unknown(meant)


def with_suggestions(errors: Any, field: Field, value: Any) -> Any:
    """Return the errors of a value with a suggestion for each unknown field that is nearly a known one.

    The error of the field that was probably meant goes, where it is only that the field is missing.
    """
    if field["type"] == "array" and isinstance(errors, list) and isinstance(value, list):
        return [with_suggestions(error, field["elements"], each) for error, each in zip(errors, value, strict=False)]
    if field["type"] != "record" or not isinstance(errors, Mapping) or not isinstance(value, Mapping):
        return errors
    fields = {name: definition for entry in field["fields"] for name, definition in entry.items()}
    unset = [name for name in fields if name not in value]
    meant = {name: _closest(name, unset, _CLOSE_FIELD) for name, error in errors.items() if error == texts.UNKNOWN}
    found = {}
    for name, error in errors.items():
        suggestion = meant.get(name)
        if suggestion is not None:
            found[name] = _unknown(suggestion)
        elif name not in meant.values():
            found[name] = with_suggestions(error, fields[name], value.get(name)) if name in fields else error
    return found


def _unknown(meant: str) -> str:
    return f"{texts.UNKNOWN}; did you mean {meant}?"


def _closest(name: str, names: Iterable[str], cutoff: float) -> str | None:
    return next(iter(get_close_matches(name, list(names), 1, cutoff)), None)
