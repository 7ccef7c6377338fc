"""Which configuration of a plugin instance is Kong's newest.

Every nginx worker starts its own instance of a plugin, lazily, and Kong counts the configurations that it builds
(``__seq__``). The last one started holds, with one exception: a worker that has not received a change yet can start
the configuration before it. So one that was replaced less than ``LATE_SECONDS`` ago and has a lower count does not come
back. The count alone is not enough: a restarted Kong counts anew, while this process goes on.

Limits: 10,000 instances; past them the oldest is forgotten, and closing it then has no effect.
"""

from dataclasses import dataclass, field

from kong_eventhooks_plugin.hooks.declarations.declared import Declared
from kong_eventhooks_plugin.hooks.declarations.instance_config import InstanceConfig

MAX_INSTANCES = 10_000
LATE_SECONDS = 15.0
"""Kong's workers receive a change within 5 to 12 s (Postgres, eventual consistency)."""


@dataclass
class _Plugin:
    newest: InstanceConfig
    since: float
    started_at: float
    before: InstanceConfig | None = None
    running: set[int] = field(default_factory=set)


class InstanceConfigs:
    """The instances that Kong runs. Times are Unix seconds."""

    def __init__(self) -> None:
        self._plugins: dict[str, _Plugin] = {}
        self._plugin_of: dict[int, str] = {}

    def started(self, instance_id: int, config: InstanceConfig, now: float) -> Declared | None:
        """Return what the plugin declares from now on, None where the instance changes nothing."""
        self._remember(instance_id, config.plugin_id)
        plugin = self._plugins.get(config.plugin_id)
        if plugin is None:
            self._plugins[config.plugin_id] = _Plugin(config, now, now, running={instance_id})
            return config.declared
        plugin.running.add(instance_id)
        plugin.started_at = now
        if _is_late(plugin, config, now):
            return None
        if plugin.newest.declared.hooks != config.declared.hooks:
            plugin.before, plugin.since = plugin.newest, now
        plugin.newest = config
        return config.declared

    def closed(self, instance_id: int) -> str | None:
        """Return the plugin's id where this was its last instance, else None."""
        plugin_id = self._plugin_of.pop(instance_id, None)
        plugin = self._plugins.get(plugin_id) if plugin_id is not None else None
        if plugin is None:
            return None
        plugin.running.discard(instance_id)
        if plugin.running:
            return None
        del self._plugins[plugin_id]  # type: ignore[arg-type] # a plugin was found by it
        return plugin_id

    def forget(self, plugin_id: str) -> None:
        self._plugins.pop(plugin_id, None)

    def started_since(self, plugin_id: str, moment: float) -> bool:
        plugin = self._plugins.get(plugin_id)
        return plugin is not None and plugin.started_at >= moment

    def _remember(self, instance_id: int, plugin_id: str) -> None:
        self._plugin_of[instance_id] = plugin_id
        if len(self._plugin_of) > MAX_INSTANCES:
            oldest = next(iter(self._plugin_of))
            plugin = self._plugins.get(self._plugin_of.pop(oldest))
            if plugin is not None:
                plugin.running.discard(oldest)


def _is_late(plugin: _Plugin, config: InstanceConfig, now: float) -> bool:
    return (
        plugin.before is not None
        and now - plugin.since < LATE_SECONDS
        and config.seq is not None
        and plugin.newest.seq is not None
        and config.seq < plugin.newest.seq
        and config.declared.hooks == plugin.before.declared.hooks
        and config.declared.hooks != plugin.newest.declared.hooks
    )
