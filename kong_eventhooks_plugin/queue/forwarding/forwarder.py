"""Moves offers from the spool to the shared store: in batches, in order, each until that store has committed it.

An offer may be moved twice (a crash, an answer that was lost): the shared store knows its event's id then, and keeps
one. What that store refuses for the event's own sake would be refused for ever, and so would what cannot be read: it is
counted as lost, and logged.

The shared store keeps how far it has come with this spool, in the transactions that accept what comes from it. Where
that is less than what this node has moved, the store has lost it: it has come back from an older backup, or behind a
failover that lost its last commits. It takes nothing more of the spool then, until what it has lost is moved again.

Limits: ``BATCH`` offers are under way at a time. After an error the next try waits ``FIRST_PAUSE`` seconds, twice as
long after each further one, up to ``LONGEST_PAUSE``. Where nothing is moved, the store is looked at once in
``POSITION_SECONDS``.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from kong_eventhooks_plugin.background import RateLimitedLogger, is_set_within
from kong_eventhooks_plugin.errors import QueueError, QueueFull, StoreUnavailable, StoreWentBack
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.contract import Offer, Queue, Receipt, SpoolPlace
from kong_eventhooks_plugin.queue.forwarding.spool import Spool, Spooled

BATCH: Final = 256
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 5.0
POSITION_SECONDS: Final = 1.0

Decided = Callable[[Event, Receipt], None]
"""Called with an event and what it led to, once the shared store has committed that."""


class SharedQueue(Queue, Protocol):
    """A queue that nodes share. Every method may raise ``StoreUnavailable``."""

    def offer(self, offer: Offer, place: SpoolPlace | None = None) -> "asyncio.Future[Receipt]":
        """Accept an offer and its place in one transaction; its future may raise ``StoreWentBack``, too."""

    async def spool_position(self, spool: str) -> int:
        """Return how far the store has come with a spool; 0 for one that it does not know."""

    async def move_spool_position(self, place: SpoolPlace) -> None:
        """Remember a place whose offer the store has refused. Raises ``StoreWentBack``."""


class Forwarder:
    """Everything on one event loop. ``lost`` is called with a reason where an offer is given up."""

    def __init__(self, spool: Spool, shared: SharedQueue, decided: Decided, lost: Callable[[str], None]) -> None:
        self._spool = spool
        self._shared = shared
        self._decided = decided
        self._lost = lost
        self._has_more = asyncio.Event()
        self._limited_log = RateLimitedLogger(time.monotonic)
        self._compared_at = -POSITION_SECONDS
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
                self.error = str(error)
                self._limited_log.warning("spool_forwarding_failed", type(error).__name__, error=self.error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            self.error = None
            pause = FIRST_PAUSE
            if not moved or self._spool.is_drained:
                await is_set_within(self._has_more, POSITION_SECONDS)

    async def move(self) -> int:
        """Move the next batch, if there is one; return how many offers. Raises ``QueueError`` where that fails."""
        try:
            return await self._move_next()
        except StoreWentBack as error:
            self._limited_log.error("shared_store_went_back", "back", had=self._spool.position, has=error.has)
            await self._spool.go_back(error.has)
            return await self._move_next()

    async def _move_next(self) -> int:
        await self._compare()
        batch = await self._spool.first(BATCH)
        if batch:
            await self._move(batch)
        return len(batch)

    async def _move(self, batch: list[Spooled]) -> None:
        places = [SpoolPlace(self._spool.id, self._spool.position, one.n) for one in batch]
        moving = zip(batch, places, strict=True)
        results = await asyncio.gather(*(self._offered(*one) for one in moving), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not _is_final(result):
                raise result
        if isinstance(results[-1], BaseException):
            await self._shared.move_spool_position(places[-1])
        for one, result in zip(batch, results, strict=True):
            event = None if one.offer is None else one.offer.event
            if event is None or isinstance(result, BaseException):
                self._lost("refused")
                self._limited_log.error(
                    "spooled_event_refused",
                    type(result).__name__,
                    event_id=None if event is None else event.id,
                    error=str(result),
                )
            else:
                self._decided(event, result)
        await self._spool.forwarded(batch[-1].n)
        self._compared_at = time.monotonic()

    async def _offered(self, one: Spooled, place: SpoolPlace) -> Receipt:
        if one.offer is None:
            raise QueueError("cannot be read: the spool is damaged, or a newer version of this program wrote it")
        return await self._shared.offer(one.offer, place)

    async def _compare(self) -> None:
        """See whether the store has all that was moved, as each batch does. Raises ``StoreWentBack``."""
        now = time.monotonic()
        if now - self._compared_at < POSITION_SECONDS:
            return
        has = await self._shared.spool_position(self._spool.id)
        if has < self._spool.position:
            raise StoreWentBack(has)
        self._compared_at = now


def _is_final(error: BaseException) -> bool:
    """Return whether trying again would end in the same way."""
    return isinstance(error, QueueError) and not isinstance(error, StoreUnavailable | StoreWentBack | QueueFull)
