"""Tells the house of instances that start and go, for both protocols. What it raises is a fault, and not Kong's."""

from collections.abc import Callable, Mapping
from typing import Any

from kong_eventhooks_plugin.kong.plugin_server.contract import PluginHost
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstance
from kong_eventhooks_plugin.kong.plugin_server.socket_errors import SocketErrors
from kong_eventhooks_plugin.model.observation import InstanceClosed, InstanceStarted


class LifecycleNotifier:
    """``infos`` names the plugins that there are; of any other the house does not hear."""

    def __init__(self, house: PluginHost, faults: SocketErrors, infos: Mapping[str, Any]) -> None:
        self._lifecycle = house.lifecycle
        self._errors = faults
        self._infos = infos

    def started(self, instance: PluginInstance, config: bytes) -> None:
        """Tell of an instance with its plugin's configuration, as Kong encoded it."""
        if instance.plugin in self._infos:
            self._notify(self._lifecycle.instance_started, InstanceStarted(instance.plugin, instance.id, config))

    def closed(self, instance: PluginInstance) -> None:
        """Tell that an instance went."""
        if instance.plugin in self._infos:
            self._notify(self._lifecycle.instance_closed, InstanceClosed(instance.plugin, instance.id))

    def _notify(self, hear: Callable[[Any], None], news: InstanceStarted | InstanceClosed) -> None:
        try:
            hear(news)
        except Exception as error:  # noqa: BLE001 - whatever the house raises, Kong gets its instance
            self._errors("house_failed", error, plugin=news.plugin)
