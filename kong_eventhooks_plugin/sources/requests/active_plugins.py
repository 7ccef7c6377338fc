"""What a source asks of whoever knows the node's plugins (``kong.admin_api.active_plugins``, handed in by the app)."""

from collections.abc import Iterable
from typing import Protocol

from kong_eventhooks_plugin.sources.requests.kong_log import KongLog
from kong_eventhooks_plugin.sources.requests.plugin_answers import NEVER, Answers


class ActivePluginLookup(Protocol):
    """Knows which plugins run for a request. Called on the hot path: a look-up, no I/O."""

    def on(
        self, workspace: str | None, service: str | None, route: str | None, consumer: str | None
    ) -> tuple[Answers, ...] | None:
        """Return what is in force on a request of these ids (the workspace's is a name), None where it is not known.

        Of a plugin of which several instances come into question, all are there.
        """

    def every(self) -> Iterable[Answers]:
        """Return what is in force anywhere, each kind of instance once."""


class _NoActivePlugins:
    def on(
        self, workspace: str | None, service: str | None, route: str | None, consumer: str | None
    ) -> tuple[Answers, ...] | None:
        return None

    def every(self) -> Iterable[Answers]:
        return ()


NO_ACTIVE_PLUGINS: ActivePluginLookup = _NoActivePlugins()
"""For a sidecar that is not told where the Admin API is."""


def statuses_of(plugin: str, plugins: ActivePluginLookup) -> frozenset[int]:
    """Return what a plugin is configured to answer with, wherever it is in force."""
    mine = [each for each in plugins.every() if each.plugin == plugin]
    return frozenset().union(*((each.before or NEVER) | (each.after or NEVER) for each in mine))


def active_plugins_on(log: KongLog, plugins: ActivePluginLookup) -> tuple[Answers, ...] | None:
    """Return what is in force on the request, None where it is not known."""
    service, route, consumer = log.service, log.route, log.consumer
    return plugins.on(
        log.workspace_name,
        None if service is None else service.id,
        None if route is None else route.id,
        None if consumer is None else consumer.id,
    )
