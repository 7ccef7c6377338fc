"""Moves offers from the spool to the shared store: in batches, in order, each until that store has committed it.

An offer may be moved twice (a crash, an answer that was lost): the shared store knows its event's id then, and keeps
one. What that store refuses for the event's own sake would be refused for ever: it is counted as lost, and logged.

The shared store keeps how far it has come with this spool. Where that is less than it was, the store has come back from
an older backup (or behind a failover that lost its last commits): what it has lost is moved again. After an error so is
what was moved since the position was last kept: a store that went back by less than that has the same position.

Limits: ``BATCH`` offers are under way at a time. After an error the next try waits ``FIRST_PAUSE`` seconds, twice as
long after each further one, up to ``LONGEST_PAUSE``. The position is compared and kept once in ``POSITION_SECONDS``.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from kong_eventhooks_plugin.background import RateLimitedLogger, is_set_within
from kong_eventhooks_plugin.errors import QueueError, QueueFull, StoreUnavailable
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.contract import Queue, Receipt
from kong_eventhooks_plugin.queue.forwarding.spool import Spool, Spooled

BATCH: Final = 256
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 5.0
POSITION_SECONDS: Final = 1.0

Decided = Callable[[Event, Receipt], None]
"""Called with an event and what it led to, once the shared store has committed that."""


class SharedQueue(Queue, Protocol):
    """A queue that nodes share. Every method may raise ``StoreUnavailable``."""

    async def spool_position(self, spool: str) -> int:
        """Return how far the store has come with a spool; 0 for one that it does not know."""

    async def keep_spool_position(self, spool: str, n: int) -> None: ...


class Forwarder:
    """Everything on one event loop. ``lost`` is called with a reason where an offer is given up."""

    def __init__(self, spool: Spool, shared: SharedQueue, decided: Decided, lost: Callable[[str], None]) -> None:
        self._spool = spool
        self._shared = shared
        self._decided = decided
        self._lost = lost
        self._has_more = asyncio.Event()
        self._limited_log = RateLimitedLogger(time.monotonic)
        self._kept: int | None = None
        self._compared_at = 0.0
        self._failed = False
        self.error: str | None = None
        """Why nothing can be moved now."""

    def more(self) -> None:
        """Say that the spool has more."""
        self._has_more.set()

    async def run(self) -> None:
        """Move whatever comes, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            self._has_more.clear()
            try:
                moved = await self.move()
            except QueueError as error:
                self._failed = True
                self.error = str(error)
                self._limited_log.warning("spool_forwarding_failed", type(error).__name__, error=self.error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            self.error = None
            pause = FIRST_PAUSE
            if not moved:
                await is_set_within(self._has_more, POSITION_SECONDS)

    async def move(self) -> int:
        """Move the next batch, if there is one; return how many offers. Raises ``QueueError`` where that fails."""
        await self._compare()
        batch = await self._spool.first(BATCH)
        if batch:
            await self._move(batch)
            await self._spool.forwarded(batch[-1].n)
        return len(batch)

    async def _move(self, batch: list[Spooled]) -> None:
        results = await asyncio.gather(*(self._offered(one) for one in batch), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not _is_final(result):
                raise result
        for one, result in zip(batch, results, strict=True):
            if isinstance(result, BaseException):
                self._lost("refused")
                self._limited_log.error(
                    "spooled_event_refused", type(result).__name__, event_id=one.offer.event.id, error=str(result)
                )
            else:
                self._decided(one.offer.event, result)

    async def _offered(self, one: Spooled) -> Receipt:
        return await self._shared.offer(one.offer)

    async def _compare(self) -> None:
        """Compare how far the shared store has come with what it had; keep how far it is now."""
        now = time.monotonic()
        if self._kept is not None and now - self._compared_at < POSITION_SECONDS and not self._failed:
            return
        position = self._spool.position
        found = await self._shared.spool_position(self._spool.id)
        if self._failed and found == self._kept:
            await self._spool.go_back(found)
        elif found < (position if self._kept is None else self._kept):
            await self._spool.go_back(found)
            if self._kept is not None:
                self._limited_log.error("shared_store_went_back", "back", had=self._kept, has=found)
        elif found != position:
            await self._shared.keep_spool_position(self._spool.id, position)
            found = position
        self._failed = False
        self._kept = found
        self._compared_at = now


def _is_final(error: BaseException) -> bool:
    """Return whether trying again would end in the same way."""
    return isinstance(error, QueueError) and not isinstance(error, StoreUnavailable | QueueFull)
