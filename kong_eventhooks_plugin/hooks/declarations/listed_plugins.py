"""Reads hooks from the plugins that Kong's Admin API lists.

With a database there is no file: what decK synchronised is listed here, also before the first request starts an
instance. Values are as they were declared, references unresolved.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.declarations.declared import Declared, at_most
from kong_eventhooks_plugin.hooks.definition import declaration_errors, to_hooks
from kong_eventhooks_plugin.hooks.schema import PLUGIN
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.model.hook import Origin
from kong_eventhooks_plugin.model.scope import HookScope


class ListedPlugins(msgspec.Struct, frozen=True):
    """What each event-hooks plugin of a complete list declares, by its id.

    ``disabled`` names those that Kong does not run; their hooks are here, disabled.
    """

    declared: Mapping[str, Declared]
    disabled: frozenset[str] = frozenset()


def read(plugins: Iterable[Any], validation: Validation) -> ListedPlugins:
    """Return what the event-hooks plugins of a complete list declare; raises nothing."""
    declared: dict[str, Declared] = {}
    disabled: set[str] = set()
    for plugin in plugins:
        if not isinstance(plugin, Mapping) or plugin.get("name") != PLUGIN:
            continue
        plugin_id = plugin.get("id")
        if not isinstance(plugin_id, str) or not plugin_id:
            continue
        if plugin.get("enabled") is False:
            disabled.add(plugin_id)
        declared[plugin_id] = _declared(plugin, plugin_id, validation)
    return ListedPlugins(declared, frozenset(disabled))


def _declared(plugin: Mapping[str, Any], plugin_id: str, validation: Validation) -> Declared:
    where = f"plugin {plugin_id} (Admin API)"
    checked = validation.config(_without_unset_list(plugin.get("config")))
    errors = list(declaration_errors(checked.error, where, "config"))
    scope = HookScope(**{name: _id(plugin.get(name)) for name in ("service", "route", "consumer")})
    if plugin.get("consumer_group") is not None:
        errors.append(DeclarationError(where, "consumer_group", f"{texts.UNKNOWN}: not a place for hooks"))
        return Declared(errors=at_most(errors))
    origin = Origin("admin-api", plugin_id, f"{where}: config")
    hooks = to_hooks(checked.hooks, origin, scope, enabled=plugin.get("enabled") is not False)
    return Declared(hooks=tuple(hooks), errors=at_most(errors))


def _without_unset_list(config: Any) -> Any:
    """Kong lists ``hooks: null`` for an instance that was made before the list had a default."""
    return {} if config is None or config == {"hooks": None} else config


def _id(reference: Any) -> str | None:
    value = reference.get("id") if isinstance(reference, Mapping) else None
    return value if isinstance(value, str) and value else None
