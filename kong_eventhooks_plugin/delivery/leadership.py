"""The lease of the one leading process (decision 5): acquired, renewed every third of its time, released.

Where nodes share the store, the leader does what is to be done once; else it delivers as well (``share.Share``).

A process leads only until the lease that the store last granted expires: where the store does not answer, it stops in
time by itself. Releasing the lease waits for the store for at most ``RESIGNING`` seconds: a stalled disk does not keep
a process from exiting.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from kong_eventhooks_plugin.delivery.waiting import Wait, pause
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.queue.contract import Clock, Queue

RESIGNING = 1.0

log = structlog.get_logger()


class Leadership:
    """``holder`` names this process; ``ttl`` is in seconds; ``won`` runs before the first claim, ``lost`` at once."""

    def __init__(
        self,
        queue: Queue,
        holder: str,
        ttl: float,
        clock: Clock,
        wait: Wait,
        *,
        won: Callable[[], Awaitable[None]],
        lost: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._holder = holder
        self._ttl = ttl
        self._clock = clock
        self._wait = wait
        self._won = won
        self._lost = lost
        self._until = 0.0
        self._announced = False

    @property
    def held(self) -> bool:
        """Whether this process is the one that delivers, now."""
        return self._announced and self._clock() < self._until

    def owns(self, _hook_id: str) -> bool:
        return self.held

    def wake(self, hook_id: str) -> None:
        """Nobody else delivers."""

    async def keep(self) -> None:
        """Acquire and renew the lease until cancelled."""
        while True:
            await self.renew()
            await pause(self._wait, self._clock, self._ttl / 3)

    async def renew(self) -> None:
        """Ask the store once. The lease runs from before the request: its answer may be late."""
        asked_at = self._clock()
        if self._announced and asked_at >= self._until:
            # The process stood still for too long: another may have delivered meanwhile.
            self._ended()
        try:
            async with asyncio.timeout(self._ttl):
                ours = await self._queue.lead(self._holder, self._ttl)
        except (QueueError, TimeoutError) as error:
            log.warning("delivery_lease_renewal_failed", error=type(error).__name__)
            ours = self._clock() < self._until
        else:
            self._until = asked_at + self._ttl if ours else 0.0
        if ours and not self._announced:
            try:
                await self._won()
            except QueueError as error:  # the store is away again: it is tried with the next renewal
                log.warning("delivery_lease_renewal_failed", error=type(error).__name__)
                return
            log.info("delivery_lease_acquired", holder=self._holder)
        elif self._announced and not ours:
            self._ended()
        self._announced = ours

    def _ended(self) -> None:
        log.info("delivery_lease_lost", holder=self._holder)
        self._announced = False
        self._lost()

    async def resign(self) -> None:
        """Release the lease, so that another process need not wait for its end."""
        self._until, self._announced = 0.0, False
        try:
            async with asyncio.timeout(RESIGNING):
                await self._queue.resign(self._holder)
        except (QueueError, TimeoutError) as error:
            log.warning("delivery_lease_release_failed", error=type(error).__name__)
