"""Reports instances that start and close, for both protocols. What the host raises is counted; Kong is answered."""

from asyncio import Future
from collections.abc import Callable, Mapping
from typing import Any

from kong_eventhooks_plugin.kong.plugin_server.contract import InstanceLifecycle
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstance
from kong_eventhooks_plugin.kong.plugin_server.socket_errors import SocketErrors
from kong_eventhooks_plugin.model.observation import InstanceClosed, InstanceStarted


class LifecycleNotifier:
    """``infos`` names the plugins that there are; instances of any other are not reported."""

    def __init__(self, lifecycle: InstanceLifecycle, errors: SocketErrors, infos: Mapping[str, Any]) -> None:
        self._lifecycle = lifecycle
        self._errors = errors
        self._infos = infos

    def started(self, instance: PluginInstance, config: bytes) -> "Future[None] | None":
        """Report an instance with its plugin's configuration, as Kong encoded it; the future as the host's."""
        return self._report(self._lifecycle.instance_started, InstanceStarted(instance.plugin, instance.id, config))

    def closed(self, instance: PluginInstance) -> None:
        self._report(self._lifecycle.instance_closed, InstanceClosed(instance.plugin, instance.id))

    def _report(
        self, call: Callable[[Any], "Future[None] | None"], what: InstanceStarted | InstanceClosed
    ) -> "Future[None] | None":
        if what.plugin not in self._infos:
            return None
        try:
            future = call(what)
        except Exception as error:  # noqa: BLE001 - whatever the host raises, Kong gets its instance
            self._errors("internal_error", error, plugin=what.plugin)
            return None
        if future is not None:
            future.add_done_callback(lambda done: self._count_error(done, what.plugin))
        return future

    def _count_error(self, done: "Future[None]", plugin: str) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._errors("internal_error", error, plugin=plugin)
