"""Reads Kong's plugins from the Admin API, at intervals: the hooks that they declare, and which plugins are in force.

Limit: while the Admin API cannot be read, its last list holds: for hooks without end, for the plugins in force
``PLUGINS_SECONDS``; after that refusals are attributed by their headers alone.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.hooks.declarations import listed_plugins
from kong_eventhooks_plugin.hooks.in_force.registry import HookRegistry
from kong_eventhooks_plugin.hooks.schema import CRUD_PLUGIN, PLUGIN
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.kong.admin_api.active_plugins import ActivePlugins
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient
from kong_eventhooks_plugin.telemetry.raised import bug_fields, bug_text

PLUGINS_SECONDS = 600.0

log = structlog.get_logger()


class PluginPoller(msgspec.Struct):
    """``page_size`` and ``pause_factor`` are those of ``AdminClient.entities``.

    ``ours`` are the enabled plugins of ours in the last list, None while there is none.
    """

    client: AdminClient
    registry: HookRegistry
    validation: Validation
    plugins: ActivePlugins[Any]
    poll_seconds: float
    page_size: int
    pause_factor: float
    ours: frozenset[str] | None = None

    async def run(self) -> None:
        """Poll until cancelled."""
        listed_at = time.monotonic()
        while True:
            began_at = time.time()
            try:
                await self._poll(began_at)
                listed_at = time.monotonic()
            except AdminApiError as error:
                self.ours = None
                self.registry.set_listing_error(str(error))
                if time.monotonic() - listed_at > PLUGINS_SECONDS:
                    self.plugins.forget()
            except Exception as error:  # noqa: BLE001  a list that our code cannot process must not be the last one
                log.error("admin_plugins_failed", **bug_fields(error))
                self.registry.set_listing_error(f"a bug: {bug_text(error)}")
            await asyncio.sleep(self.poll_seconds)

    async def _poll(self, began_at: float) -> None:
        plugins = await self.client.entities("/plugins", self.page_size, self.pause_factor)
        listed = await asyncio.to_thread(listed_plugins.read, plugins, self.validation)
        self.registry.set_listed_plugins(listed, began_at)
        self.plugins.replace_list(await asyncio.to_thread(self.plugins.listed, plugins))
        self.ours = _enabled(plugins, (PLUGIN, CRUD_PLUGIN))


def _enabled(plugins: Sequence[Mapping[str, Any]], names: Sequence[str]) -> frozenset[str]:
    return frozenset(
        name for name in names for each in plugins if each.get("name") == name and each.get("enabled") is not False
    )
