"""Which plugins run on a request: the sources' view of ``kong.admin_api.active_plugins`` (``app.py`` injects it)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from kong_eventhooks_plugin.sources.requests.plugin_answers import NEVER, Answers

if TYPE_CHECKING:
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog


class ActivePluginLookup(Protocol):
    """Called on the hot path: a look-up, no I/O."""

    def on(
        self, workspace: str | None, service: str | None, route: str | None, consumer: str | None
    ) -> tuple[Answers, ...] | None:
        """Return what runs on a request of these ids (the workspace's is a name), None where it is unknown.

        Of a plugin of which several instances may have run, all are there.
        """

    def every(self) -> Iterable[Answers]:
        """Return what can run on any request, each kind of instance once."""


class _NoActivePlugins:
    def on(
        self, workspace: str | None, service: str | None, route: str | None, consumer: str | None
    ) -> tuple[Answers, ...] | None:
        return None

    def every(self) -> Iterable[Answers]:
        return ()


NO_ACTIVE_PLUGINS: ActivePluginLookup = _NoActivePlugins()
"""For a sidecar without the setting ``admin_url``."""


def statuses_of(plugin: str, plugins: ActivePluginLookup) -> frozenset[int]:
    """Return what a plugin is configured to answer with, on any request."""
    mine = [each for each in plugins.every() if each.plugin == plugin]
    return frozenset().union(*((each.before or NEVER) | (each.after or NEVER) for each in mine))


def active_plugins_on(log: "KongLog", plugins: ActivePluginLookup) -> tuple[Answers, ...] | None:
    """Return what runs on the request, None where it is unknown."""
    service, route, consumer = log.service, log.route, log.consumer
    return plugins.on(
        log.workspace_name,
        None if service is None else service.id,
        None if route is None else route.id,
        None if consumer is None else consumer.id,
    )
