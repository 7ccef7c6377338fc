"""Reads hooks from a plugin instance's configuration, as Kong hands it to ``StartInstance``.

Kong puts keys of its own beside the schema's: ``__plugin_id``, ``__seq__`` (grows with each configuration that a
running Kong builds), ``__key__``, ``__ws_id``, ``plugin_instance_name``, and the scope as ``service_id``,
``route_id``, ``consumer_id``. Unset fields are left out; an empty list may come as ``{}``.

Values that came out of a vault are resolved already, and ``$refs`` beside them names which these are
(``process_auto_fields`` of kong/db/schema/init.lua): for a text the reference, for a map or a list the reference by
key or place. The definition gets the reference back, so that what is stored is what the user wrote; the value
stays in memory. A reference that Kong could not resolve has the value ``""``.

Limit: ``MAX_VALUES`` values (``bounded_json``); a configuration with more declares nothing, with the reason.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from kong_eventhooks_plugin import bounded_json
from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.declarations.declared import Declared, at_most
from kong_eventhooks_plugin.hooks.definition import declaration_errors, to_hooks
from kong_eventhooks_plugin.hooks.schema import DECLARED_CONFIG
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.model.hook import Origin
from kong_eventhooks_plugin.model.masking import is_reference
from kong_eventhooks_plugin.model.scope import HookScope

MAX_VALUES = 100_000


class InstanceConfig(msgspec.Struct, frozen=True):
    """``seq`` is None where Kong gave none."""

    plugin_id: str
    seq: int | None
    declared: Declared


def read(config: bytes, validation: Validation) -> InstanceConfig:
    """Return what an event-hooks instance declares, its valid hooks beside the errors of others; raises nothing."""
    try:
        document = bounded_json.decode(config, MAX_VALUES)
    except (msgspec.DecodeError, UnicodeError) as error:
        return _unreadable(f"its configuration is not JSON that can be read: {error}")
    if not isinstance(document, dict):
        return _unreadable("its configuration is not an object")
    plugin_id = _text(document, "__plugin_id") or ""
    seq = document.get("__seq__")
    declared = _declared(document, plugin_id, validation)
    return InstanceConfig(plugin_id, seq if isinstance(seq, int) else None, declared)


def _unreadable(message: str) -> InstanceConfig:
    return InstanceConfig("", None, Declared(errors=(DeclarationError("plugin instance", "", message),)))


def _declared(document: dict[str, Any], plugin_id: str, validation: Validation) -> Declared:
    values: dict[str, str] = {}
    hooks = document.get("hooks", [])
    written = [_as_written(hook, values) for hook in hooks] if isinstance(hooks, list) else hooks
    checked = validation.config({"hooks": written})
    where = f"plugin {plugin_id}"
    scope = HookScope(
        service=_text(document, "service_id"),
        route=_text(document, "route_id"),
        consumer=_text(document, "consumer_id"),
    )
    valid = to_hooks(checked.hooks, Origin("instance", plugin_id, f"{where}: config"), scope)
    errors = at_most(list(declaration_errors(checked.error, where, "config")))
    return Declared(hooks=tuple(valid), errors=errors, values=values)


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) and value else None


def _as_written(hook: Any, values: dict[str, str]) -> Any:
    """Return the hook with references in place of what Kong resolved, which goes to ``values``."""
    if not isinstance(hook, dict):
        return hook
    written = _with_references(hook, values)
    if isinstance(written.get(DECLARED_CONFIG), dict):
        written[DECLARED_CONFIG] = _with_references(written[DECLARED_CONFIG], values)
    return written


def _with_references(record: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    written = {name: value for name, value in record.items() if name != "$refs"}
    for name, reference in _items(record.get("$refs")):
        if is_reference(reference):
            values[reference] = _value(record.get(name))
            written[name] = reference
        else:
            written[name] = _entries_with_references(record.get(name), reference, values)
    return written


def _entries_with_references(entries: Any, references: Any, values: dict[str, str]) -> Any:
    """Do the same for a map's entries. No list of the schema takes references: one stays as Kong gave it."""
    if not isinstance(entries, dict):
        return entries
    written = dict(entries)
    for name, reference in _items(references):
        if is_reference(reference):
            values[reference] = _value(entries.get(name))
            written[name] = reference
    return written


def _items(references: Any) -> list[tuple[str, Any]]:
    return list(references.items()) if isinstance(references, dict) else []


def _value(value: Any) -> str:
    return value if isinstance(value, str) else ""
