"""Reads Kong's plugins from the Admin API, at intervals: the hooks that they declare, and which plugins are in force.

Limit: while the Admin API cannot be read, its last list holds: for hooks without end, for the plugins in force
``PLUGINS_SECONDS``; after that refusals are attributed by their headers alone.
"""

import asyncio
import time
from typing import Any, NamedTuple

import structlog

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.hooks.declarations import listed_plugins
from kong_eventhooks_plugin.hooks.in_force.registry import HookRegistry
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.kong.admin_api.active_plugins import ActivePlugins
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient
from kong_eventhooks_plugin.telemetry.raised import bug_fields, bug_text

PLUGINS_SECONDS = 600.0

log = structlog.get_logger()


class PluginPoller(NamedTuple):
    """``page_size`` and ``pause_factor`` are those of ``AdminClient.entities``."""

    client: AdminClient
    registry: HookRegistry
    validation: Validation
    plugins: ActivePlugins[Any]
    poll_seconds: float
    page_size: int
    pause_factor: float

    async def run(self) -> None:
        """Poll until cancelled."""
        listed_at = time.monotonic()
        while True:
            began_at = time.time()
            try:
                await self._poll(began_at)
                listed_at = time.monotonic()
            except AdminApiError as error:
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
