"""Writes outcomes to the queue, many in one transaction, and where that can be in one that accepts or claims.

Limits: ``unsettled`` outcomes wait; past it ``full`` is True and the worker starts no attempt. Endpoints' health
waits beside them, one value a hook. While the store fails, all of it waits and is retried after ``store_pause``;
a lease that expires meanwhile means a second delivery with the same id.
"""

import asyncio
from collections.abc import Callable

import structlog

from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.delivery.waiting import Wait, pause
from kong_eventhooks_plugin.errors import QueueError, StoreUnavailable
from kong_eventhooks_plugin.queue.contract import Clock, EndpointHealth, Queue, Settlement

log = structlog.get_logger()


class Settler:
    """One writer; ``write`` runs until cancelled; ``on_flush`` is called after each batch."""

    def __init__(
        self, queue: Queue, limits: DeliveryLimits, clock: Clock, wait: Wait, on_flush: Callable[[], None]
    ) -> None:
        self._queue = queue
        self._limits = limits
        self._clock = clock
        self._wait = wait
        self._on_flush = on_flush
        self._settlements: list[Settlement] = []
        self._health: dict[str, EndpointHealth] = {}
        self._prompt = False
        self._something = asyncio.Event()
        self._nothing = asyncio.Event()
        self._nothing.set()

    def settle(self, settlement: Settlement, *, prompt: bool = False) -> None:
        """Write it with the next transaction; ``prompt``: something waits for it."""
        self._settlements.append(settlement)
        self._woken()
        if prompt:
            self._prompt = True
            self._queue.hurry()

    def save_health(self, health: EndpointHealth) -> None:
        """Write an endpoint's health later; only the last value counts."""
        self._health[health.hook_id] = health
        self._woken()

    @property
    def full(self) -> bool:
        """Whether so much waits that no attempt should start."""
        return len(self._settlements) >= self._limits.unsettled

    @property
    def busy(self) -> bool:
        return bool(self._settlements or self._health)

    async def write(self) -> None:
        while True:
            await self._something.wait()
            try:
                await self._write_batch()
            except QueueError as error:
                log.warning("outcomes_write_failed", error=type(error).__name__)
                await pause(self._wait, self._clock, self._limits.store_pause)
            self._on_flush()
            if not self.busy:
                self._something.clear()
                self._nothing.set()

    async def flush(self, until: float) -> bool:
        """Wait until all is written, at most until then (Unix seconds); return whether it is."""
        await self._wait(self._nothing, until)
        return self._nothing.is_set()

    async def _write_batch(self) -> None:
        if self._settlements:
            del self._settlements[: await self._settle()]
        for hook_id, health in list(self._health.items()):
            await self._queue.save_endpoint(health)
            if self._health.get(hook_id) is health:
                del self._health[hook_id]

    def _first(self) -> list[Settlement]:
        return self._settlements[: self._limits.settle_batch]

    async def _settle(self) -> int:
        """Settle the first batch and return its size; one that the engine cannot settle must not stop the others."""
        try:
            prompt, self._prompt = self._prompt, False
            return await self._queue.settle_soon(self._first, prompt=prompt)
        except StoreUnavailable:
            raise
        except Exception:
            batch = self._first()
            log.exception("settlement_failed", deliveries=len(batch))
        for settlement in batch:
            try:
                await self._queue.settle([settlement])
            except StoreUnavailable:
                raise
            except Exception:
                log.exception("outcome_dropped", delivery_id=settlement.delivery_id)
        return len(batch)

    def _woken(self) -> None:
        self._something.set()
        self._nothing.clear()
