"""Which node polls what, as a node without an Admin API follows it in the shared store.

Limit: the store is asked every ``FOLLOW_SECONDS``; while it does not answer, what it last said is kept.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.queue.polling import LeaseHolder, SharedPolling

FOLLOW_SECONDS: Final = 2.0


class LeaseHolders:
    """``run`` ends when cancelled."""

    def __init__(self, shared: SharedPolling) -> None:
        self._shared = shared
        self._holders: Mapping[str, LeaseHolder] = {}
        self.known = False
        """Whether the store has ever said it."""

    def holder(self, lease: str) -> LeaseHolder | None:
        return self._holders.get(lease)

    async def run(self) -> None:
        while True:
            await self.follow()
            await asyncio.sleep(FOLLOW_SECONDS)

    async def follow(self) -> None:
        try:
            self._holders = await self._shared.holders()
        except QueueError:  # that the store is away, /readyz says already
            return
        self.known = True
