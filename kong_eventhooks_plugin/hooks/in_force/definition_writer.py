"""Keeps stored hook definitions equal to those in force, whatever the store's health.

The registry hands over what to write and never waits; a store that fails is tried again every ``PAUSE_SECONDS``.
Limit: one entry per hook.
"""

import asyncio
from collections.abc import Sequence

import structlog

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import Definitions

PAUSE_SECONDS = 1.0

log = structlog.get_logger()


class DefinitionWriter:
    def __init__(self, store: Definitions) -> None:
        self._store = store
        self._pending: dict[str, Hook | None] = {}
        self._has_pending = asyncio.Event()

    def persist(self, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
        """Note what to write and what to delete; the last call for a hook counts."""
        self._pending.update(dict.fromkeys(removed))
        self._pending.update({hook.id: hook for hook in hooks})
        self._has_pending.set()

    async def run(self) -> None:
        while True:
            await self._has_pending.wait()
            if not await self.flush():
                await asyncio.sleep(PAUSE_SECONDS)

    async def flush(self) -> bool:
        """Write what is pending; False where the store failed, and it stays pending."""
        writing, self._pending = self._pending, {}
        self._has_pending.clear()
        if not writing:
            return True
        try:
            await self._store.store_definitions(
                [hook for hook in writing.values() if hook is not None],
                [hook_id for hook_id, hook in writing.items() if hook is None],
            )
        except QueueError as error:
            log.warning("hook_definitions_write_failed", error=str(error))
            self._pending = writing | self._pending
            self._has_pending.set()
            return False
        return True
