"""Starts attempts at what was claimed, a few in each iteration of the loop; ``attempt_ends`` has what follows them.

The lanes say which is next. Attempts are spaced out while Kong's calls wait (``start_pacing``), and fewer are in flight
while the loop is late (``concurrency_throttle``): it serves Kong's socket as well. Whether an attempt may be made is
asked again as it starts: its hook may have changed, moved to another node or been blocked since it was claimed, or its
lease may be too short by now.

Limits: those of ``lanes`` in flight; ``starts_per_iteration``; nothing starts while the settler is full.
"""

import asyncio
from collections.abc import Callable
from itertools import takewhile
from typing import cast

import structlog

from kong_eventhooks_plugin.background import cancel
from kong_eventhooks_plugin.delivery.attempt_ends import AttemptEnds
from kong_eventhooks_plugin.delivery.attempts import Attempts
from kong_eventhooks_plugin.delivery.breaker import Block
from kong_eventhooks_plugin.delivery.claims import Claims
from kong_eventhooks_plugin.delivery.concurrency_throttle import BEAT, HANGING, ConcurrencyThrottle
from kong_eventhooks_plugin.delivery.hook_readiness import DeliveryReadiness, Ready
from kong_eventhooks_plugin.delivery.lanes import Claimed, Lane, Lanes
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.delivery.settler import Settler
from kong_eventhooks_plugin.delivery.start_pacing import pause_between_starts
from kong_eventhooks_plugin.model.delivery import Delivered, Delivery
from kong_eventhooks_plugin.queue.contract import Clock

log = structlog.get_logger()


class AttemptRuns:
    """``delivers`` says whether this process delivers a hook, now; ``calls_waiting``: how many of Kong's wait.

    ``monotonic`` returns seconds of a clock that never jumps.
    """

    def __init__(
        self,
        attempts: Attempts,
        ends: AttemptEnds,
        lanes: Lanes,
        claims: Claims,
        readiness: DeliveryReadiness,
        settler: Settler,
        limits: DeliveryLimits,
        clock: Clock,
        monotonic: Callable[[], float],
        *,
        delivers: Callable[[str], bool],
        calls_waiting: Callable[[], int],
    ) -> None:
        self._attempts = attempts
        self._ends = ends
        self._lanes = lanes
        self._claims = claims
        self._readiness = readiness
        self._settler = settler
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._delivers = delivers
        self._calls_waiting = calls_waiting
        self._throttle = ConcurrencyThrottle(limits.total)
        self._in_flight: dict[asyncio.Task[None], tuple[float, Lane]] = {}  # since when, the oldest first
        self._feeding = False
        self._started_at = 0.0  # of the loop's clock
        self._measuring = False
        self.idle = asyncio.Event()
        """Set while nothing is in flight."""
        self.idle.set()

    async def cancel(self) -> None:
        """End what is in flight; it is released."""
        await cancel(*self._in_flight)

    # Starting.

    def feed(self) -> None:
        """Start attempts, a few in each iteration of the loop."""
        for _ in range(self._limits.starts_per_iteration):
            if (taken := self._next()) is None:
                return
            self._start(*taken)
        self._feed_at(0.0)

    def _next(self) -> tuple[Lane, Claimed] | None:
        """Return what to start now, None where nothing may start."""
        if not self._lanes.any_ready:
            return None
        loop = asyncio.get_running_loop()
        pause = pause_between_starts(self._calls_waiting())
        if pause and (due := self._started_at + pause) > loop.time():
            self._feed_at(due)
            return None
        if self._settler.full or (taken := self._lanes.next()) is None:
            return None
        self._started_at = loop.time()
        return taken

    def _feed_at(self, due: float) -> None:
        if not self._feeding:
            self._feeding = True
            asyncio.get_running_loop().call_at(due, self._feed_later)

    def _feed_later(self) -> None:
        self._feeding = False
        self.feed()

    def _start(self, lane: Lane, claimed: Claimed) -> None:
        ready = self._begun(lane, claimed)
        if ready is not None:
            task = asyncio.create_task(self._run(lane, claimed.delivery, ready))
            self._in_flight[task] = self._monotonic(), lane
            task.add_done_callback(self._ended)

    def _begun(self, lane: Lane, claimed: Claimed) -> Ready | None:
        """Begin an attempt, or release the delivery where there may be none."""
        now = self._clock()
        verdict = self._readiness.check(lane.hook_id, now)
        if (
            isinstance(verdict, Block)
            or not self._delivers(lane.hook_id)
            or now > claimed.until - verdict.rules.longest
            or lane.in_order != verdict.rules.ordered
            or not (verdict.breaker is None or verdict.breaker.start(now))
        ):
            self._settler.release(claimed.delivery)
            self._lanes.done(lane)
            self._claims.release(lane)
            lane.expect_work(now)
            return None
        self.idle.clear()
        self._measure_lag()
        return verdict

    # Lag.

    def _measure_lag(self) -> None:
        """Measure how late the loop is, as long as attempts are in flight."""
        if not self._measuring:
            self._measuring = True
            loop = asyncio.get_running_loop()
            due = loop.time() + BEAT
            loop.call_at(due, self._beat, due)

    def _beat(self, due: float) -> None:
        self._measuring = False
        began_before = self._monotonic() - HANGING
        hanging = sum(1 for _ in takewhile(lambda began: began[0] <= began_before, self._in_flight.values()))
        self._throttle.beat(asyncio.get_running_loop().time() - due, hanging)
        self._lanes.ceiling = self._throttle.ceiling
        if self._in_flight:
            self._measure_lag()
            self.feed()

    # Attempts.

    async def _run(self, lane: Lane, delivery: Delivery, ready: Ready) -> None:
        """Make an attempt and, while each had an answer to wait for, the next one: a task costs more than a turn."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        while await self._attempt(lane, delivery, ready):
            del self._in_flight[task]
            self._lanes.done(lane)
            ended, taken = lane, self._next()
            begun = None
            if taken is not None:
                lane, claimed = taken
                delivery, begun = claimed.delivery, self._begun(lane, claimed)
            if begun is not None:
                ready, self._in_flight[task] = begun, (self._monotonic(), lane)
            self._claims.consider(ended)
            if begun is None:
                return
            if self._lanes.any_ready:
                self.feed()

    async def _attempt(self, lane: Lane, delivery: Delivery, ready: Ready) -> bool:
        """Make one attempt; return whether it had an answer to wait for."""
        try:
            made = await self._attempts.make(delivery, ready)
        except asyncio.CancelledError:
            self._ends.cut_off(delivery, ready)
            raise
        self._ends.ended(lane, delivery, ready, made)
        return isinstance(made.outcome, Delivered) and ready.breaker is not None

    def _ended(self, task: "asyncio.Task[None]") -> None:
        _, lane = self._in_flight.pop(task, (0.0, None))
        if lane is not None:
            self._lanes.done(lane)
        if not self._in_flight:
            self.idle.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("attempt_unsettled", exc_info=error)
        self.feed()
        if lane is not None:
            self._claims.consider(lane)
