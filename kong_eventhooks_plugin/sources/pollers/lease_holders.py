"""Which node polls what, as a node without an Admin API follows it in the shared store.

Limit: the store is asked every ``FOLLOW_SECONDS``; while it does not answer, what it last said is kept.
"""

import asyncio
import time
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
        self._held_at: dict[str, float] = {}
        self.known = False
        """Whether the store has ever said it."""

    def holder(self, lease: str) -> LeaseHolder | None:
        return self._holders.get(lease)

    def held_within(self, lease: str, seconds: float) -> bool:
        """Return whether somebody holds a lease, or did so many seconds ago."""
        held_at = self._held_at.get(lease)
        return lease in self._holders or (held_at is not None and time.monotonic() - held_at < seconds)

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
        self._held_at.update(dict.fromkeys(self._holders, time.monotonic()))
