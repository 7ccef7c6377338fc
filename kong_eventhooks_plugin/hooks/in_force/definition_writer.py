"""Keeps stored hook definitions equal to those in force, whatever the store's health.

The hook book tells what to write and never waits; a store that fails is asked again every
``PAUSE_SECONDS``. Limit: one entry per hook, so what waits is no larger than the book.
"""

import asyncio
from collections.abc import Sequence

import structlog

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import Queue

PAUSE_SECONDS = 1.0

log = structlog.get_logger()


class DefinitionWriter:
    """``persist`` is for ``hooks.in_force.registry.HookRegistry``; ``run`` writes until it is cancelled."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._waiting: dict[str, Hook | None] = {}
        self._pending_event = asyncio.Event()

    def persist(self, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
        """Note what to write and what to forget; the last word on a hook counts."""
        self._waiting.update(dict.fromkeys(removed))
        self._waiting.update({hook.id: hook for hook in hooks})
        self._pending_event.set()

    async def run(self) -> None:
        """Write whatever is told."""
        while True:
            await self._pending_event.wait()
            if not await self.flush():
                await asyncio.sleep(PAUSE_SECONDS)

    async def flush(self) -> bool:
        """Write what waits now; False where the store failed, and it waits on."""
        writing, self._waiting = self._waiting, {}
        self._pending_event.clear()
        if not writing:
            return True
        try:
            await self._queue.store_definitions(
                [hook for hook in writing.values() if hook is not None],
                [hook_id for hook_id, hook in writing.items() if hook is None],
            )
        except QueueError as error:
            log.warning("hook_definitions_write_failed", error=str(error))
            self._waiting = writing | self._waiting
            self._pending_event.set()
            return False
        return True
