"""What Kong asks before it starts: the two plugins, their phases, priorities and schemas.

``kong-event-hooks plugin-info NAME`` prints one of these documents as JSON; Kong runs it, or ``cat`` of the
file that ``serve`` wrote, as ``pluginserver_<name>_query_cmd`` and waits. Nothing heavy is imported here.

What Kong demands (kong/runloop/plugin_servers/process.lua, kong/db/dao/plugins.lua): one document on
stdout and nothing else; it reads ``Plugins[1]`` alone, hence one document a plugin; ``Priority`` is a whole
number; ``Version`` is ``x.y.z`` with nothing behind it; the schema holds against Kong's meta-schema.
"""

import re
from typing import Any, NamedTuple

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.sources import catalogue

PRIORITY = 1
"""Below every plugin that Kong brings along which works on requests and answers (request-termination, the
lowest of them, has 2), above post-function (-1000). Kong runs a phase's plugins from the highest number to the
lowest, so both of ours see what the others left: in ``response`` the answer, in ``log`` the finished request."""


class _Plugin(NamedTuple):
    phases: tuple[str, ...]
    schema: dict[str, Any]


def known() -> schema.Known:
    """Return what this release can do, for Kong's schema and for our own validation."""
    return schema.Known(
        sources={source: catalogue.events_of(source) for source in catalogue.BY_NAME},
        patterns={source: found for source in catalogue.BY_NAME if (found := catalogue.patterns_of(source))},
    )


def plugin_names() -> tuple[str, ...]:
    """Return the names of the Kong plugins that this server is."""
    return (schema.PLUGIN, schema.CRUD_PLUGIN)


def plugin_info(name: str, socket_path: str, protocol: str = "ProtoBuf:1") -> dict[str, Any]:
    """Return the document for one plugin, ready for JSON; raises KeyError for a name that is not ours.

    ``socket_path`` is where the plugin server listens, ``protocol`` ``ProtoBuf:1`` or ``MsgPack:1``.
    """
    plugin = _PLUGINS[name]()
    about = {
        "Name": name,
        "Phases": list(plugin.phases),
        "Version": _kong_version(__version__),
        "Priority": PRIORITY,
        "Schema": {"name": name, **plugin.schema},
    }
    return {"Protocol": protocol, "SocketPath": socket_path, "Plugins": [about]}


def _event_hooks() -> _Plugin:
    return _Plugin(("log",), {"fields": schema.plugin_fields(schema.plugin_config(known()))})


def _event_hooks_crud() -> _Plugin:
    # `response` makes Kong buffer every answer: at_least_one_of keeps the plugin on the routes it was put on.
    # `required` on the field route would be ignored by Kong.
    config = {"type": "record", "required": True, "fields": []}
    checks = [{"at_least_one_of": ["route"]}]
    return _Plugin(("response", "log"), {"fields": schema.plugin_fields(config), "entity_checks": checks})


_PLUGINS = {schema.PLUGIN: _event_hooks, schema.CRUD_PLUGIN: _event_hooks_crud}


def _kong_version(version: str) -> str:
    """Cut a Python version down to the ``x.y.z`` that Kong takes (``0.2.0.dev1`` -> ``0.2.0``)."""
    numbers = re.match(r"\d+(?:\.\d+){0,2}", version)
    parts = numbers.group().split(".") if numbers else []
    return ".".join([*parts, "0", "0", "0"][:3])
