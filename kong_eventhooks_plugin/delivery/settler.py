"""Writes outcomes to the queue, many in one transaction, and where that can be in one that accepts or claims.

One batch is under way at a time, and the next one begins with its end: the queue calls us, as a task and a future for
each batch cost 2 % of an event. ``write`` is a task, for what is seldom: a batch that failed, and endpoints' health.

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
from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.queue.contract import Clock, EndpointHealth, Queue, Settlement, SettlementSource

log = structlog.get_logger()


class Settler(SettlementSource):
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
        self._under_way = False
        self._failure: Exception | None = None
        """Why the batch that is under way was not written; ``write`` goes on with it."""
        self._health: dict[str, EndpointHealth] = {}
        self._prompt = False
        self._something = asyncio.Event()
        self._nothing = asyncio.Event()
        self._nothing.set()

    def settle(self, settlement: Settlement, *, prompt: bool = False) -> None:
        """Write it with the next transaction; ``prompt``: something waits for it."""
        self._settlements.append(settlement)
        self._nothing.clear()
        self._prompt |= prompt
        if not self._under_way:
            self._begin()
        elif prompt:
            self._queue.hurry()

    def release(self, delivery: Delivery) -> None:
        """Write that a delivery is nobody's again, due as it was."""
        self.settle(Settlement(delivery.id, "pending", None, due_at=delivery.due_at))

    def save_health(self, health: EndpointHealth) -> None:
        """Write an endpoint's health later; only the last value counts."""
        self._health[health.hook_id] = health
        self._nothing.clear()
        self._something.set()

    @property
    def full(self) -> bool:
        """Whether so much waits that no attempt should start."""
        return len(self._settlements) >= self._limits.unsettled

    @property
    def busy(self) -> bool:
        return bool(self._settlements or self._health)

    async def flush(self, until: float) -> bool:
        """Wait until all is written, at most until then (Unix seconds); return whether it is."""
        await self._wait(self._nothing, until)
        return self._nothing.is_set()

    def _begin(self) -> None:
        self._under_way = True
        prompt, self._prompt = self._prompt, False
        try:
            self._queue.settle_soon(self, prompt=prompt)
        except QueueError as error:
            self.not_settled(error)

    def waiting(self) -> list[Settlement]:
        return self._settlements[: self._limits.settle_batch]

    def settled(self, count: int) -> None:
        del self._settlements[:count]
        self._failure = None
        self._under_way = False
        if self._settlements:
            self._begin()
        self._check_nothing()
        self._on_flush()

    def not_settled(self, error: Exception) -> None:
        self._failure = error
        self._something.set()

    def _check_nothing(self) -> None:
        if not self.busy:
            self._nothing.set()

    async def write(self) -> None:
        """Go on with a batch that failed, and write endpoints' health."""
        while True:
            await self._something.wait()
            try:
                if self._failure is not None:
                    await self._settle_apart(self._failure)
                await self._write_health()
            except QueueError as error:
                log.warning("outcomes_write_failed", error=type(error).__name__)
                await pause(self._wait, self._clock, self._limits.store_pause)
                if self._failure is not None:
                    self._failure = None
                    self._begin()
            if self._failure is None and not self._health:
                self._something.clear()
            self._check_nothing()

    async def _settle_apart(self, failure: Exception) -> None:
        """Settle the first batch one by one: what the engine cannot settle must not stop the others."""
        if isinstance(failure, StoreUnavailable):
            raise failure
        batch = self.waiting()
        log.error("settlement_failed", deliveries=len(batch), exc_info=failure)
        for settlement in batch:
            try:
                await self._queue.settle([settlement])
            except StoreUnavailable:
                raise
            except Exception:
                log.exception("outcome_dropped", delivery_id=settlement.delivery_id)
        self.settled(len(batch))

    async def _write_health(self) -> None:
        for hook_id, health in list(self._health.items()):
            await self._queue.save_endpoint(health)
            if self._health.get(hook_id) is health:
                del self._health[hook_id]
