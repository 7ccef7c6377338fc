"""Finds names in a file that are nearly ours: another plugin's (``event-hook``), a key's (``plguins``, ``confg``).

Pure. The keys of a plugin's ``config`` are for validation (``hooks.validation.meant``).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.definition import place_in_file
from kong_eventhooks_plugin.hooks.schema import CRUD_PLUGIN, DECLARED_CONFIG, PLUGIN
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.hooks.validation.meant import method_meant
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.suggestions import NEAR, VERY_NEAR, closest

_LISTS: Final = ("services", "routes", "consumers", "plugins")
"""Which entities a misspelled key may hide hooks in."""

_PLUGIN_KEYS: Final = (
    "id", "name", "instance_name", "config", "_config", "enabled", "protocols", "tags", "service", "route", "consumer",
    "consumer_group", "ordering", "partials", "condition", "created_at", "updated_at", "_comment", "_ignore",
)  # fmt: skip
"""A plugin's keys: those of Kong, of Enterprise and of decK. Kong 3.9.1 and decK 1.62.1 refuse every other one."""


class NearKey(NamedTuple):
    """A key that an entity does not have but nearly does, the key that was probably meant, and the error."""

    key: str
    meant: str
    text: str


def plugin_meant(name: Any) -> str | None:
    """Return which of our plugins a name nearly is; None where it is one, or far from both."""
    if not isinstance(name, str) or name in (PLUGIN, CRUD_PLUGIN):
        return None
    return closest(name, (PLUGIN, CRUD_PLUGIN), VERY_NEAR)


def method_warnings(hooks: Iterable[Hook]) -> Iterator[DeclarationError]:
    """Yield a warning for each hook of a file whose method is nearly one that HTTP defines: any may be sent."""
    for hook in hooks:
        method = hook.config.get("method")
        if hint := method_meant(method):
            path = f"{place_in_file(hook)}.{DECLARED_CONFIG}.method"
            yield DeclarationError(hook.origin.key, path, f"HTTP defines no method {method}{hint}")


def has_hooks(plugin: Mapping[str, Any]) -> bool:
    """Return whether a plugin's config, or what nearly is one, has hooks, or what nearly are some."""
    config = _plugin_value(plugin, "config")
    return isinstance(config, Mapping) and ("hooks" in config or any(_near_keys(config, ("hooks",), VERY_NEAR)))


def name_of(plugin: Mapping[str, Any]) -> Any:
    """Return a plugin's name, also where its key is nearly ``name``."""
    return _plugin_value(plugin, "name")


def near_plugin_keys(plugin: Mapping[str, Any]) -> Iterator[NearKey]:
    """Yield the keys that nearly are a plugin's."""
    return _near_keys(plugin, _PLUGIN_KEYS, NEAR)


def far_plugin_keys(plugin: Mapping[str, Any]) -> Iterator[str]:
    """Yield the other keys that are none of a plugin's."""
    near = {key.key for key in near_plugin_keys(plugin)}
    return (str(key) for key in plugin if key not in near and key not in _PLUGIN_KEYS)


def _plugin_value(plugin: Mapping[str, Any], name: str) -> Any:
    if name in plugin:
        return plugin[name]
    return next((plugin[near.key] for near in near_plugin_keys(plugin) if near.meant == name), None)


def near_lists(entity: Mapping[str, Any], nested: tuple[str, ...]) -> Iterator[NearKey]:
    """Yield the keys that nearly are those of ``nested`` entities."""
    known = tuple(name for name in _LISTS if name in nested)
    near = (key for key in _near_keys(entity, known, VERY_NEAR) if not key.key.startswith("_"))
    # Beside the key that was meant, it may be the name of a plugin's own entities.
    return (key for key in near if key.meant not in entity)


def _near_keys(entity: Mapping[str, Any], known: tuple[str, ...], cutoff: float) -> Iterator[NearKey]:
    for key in entity:
        if isinstance(key, str) and key not in known:
            meant = closest(key, known, cutoff)
            if meant is not None:
                yield NearKey(key, meant, texts.UNKNOWN + (f"; did you mean {meant}?" if meant not in entity else ""))
