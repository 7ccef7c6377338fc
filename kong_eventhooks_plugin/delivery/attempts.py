"""One attempt: calls the handler within its time, records the outcome, decides what follows."""

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from kong_eventhooks_plugin.delivery.backoff import Decision, Random, decide
from kong_eventhooks_plugin.delivery.delivery_spans import DeliverySpans
from kong_eventhooks_plugin.delivery.hook_readiness import Ready
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.handlers.contract import DeliveryJob
from kong_eventhooks_plugin.model.delivery import Attempt, Delivered, Delivery, Outcome, Retry
from kong_eventhooks_plugin.model.trace import new_span_id
from kong_eventhooks_plugin.queue.contract import Clock, Queue
from kong_eventhooks_plugin.sources.nulls import without_nulls

log = structlog.get_logger()


class AttemptResult(msgspec.Struct, frozen=True):
    """An attempt that ended at ``at`` (Unix seconds)."""

    outcome: Outcome
    decision: Decision
    at: float


class Attempts:
    """``monotonic`` measures attempts: the clock of the day may jump. ``spans`` is there where tracing is on."""

    def __init__(
        self,
        queue: Queue,
        limits: DeliveryLimits,
        clock: Clock,
        monotonic: Callable[[], float],
        random: Random,
        spans: DeliverySpans | None = None,
    ) -> None:
        self._queue = queue
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._random = random
        self._spans = spans

    async def make(self, delivery: Delivery, ready: Ready) -> AttemptResult:
        """Call the handler once. Raises nothing but the task's cancellation."""
        started_at, started = self._clock(), self._monotonic()
        trace = None if self._spans is None else delivery.event.trace
        span_id = "" if trace is None else new_span_id()
        outcome = await self._called(delivery, ready, started_at, None if trace is None else trace.traceparent(span_id))
        attempt = _record(delivery.attempts + 1, started_at, self._monotonic() - started, outcome)
        first = await self._first(delivery) if isinstance(outcome, Retry) and delivery.attempts else None
        now = self._clock()
        decision = decide(delivery.id, outcome, attempt, first, self._limits.retry, now, self._random)
        if self._spans is not None and trace is not None:
            self._spans.attempted(trace, span_id, delivery, ready, decision.settlement)
        return AttemptResult(outcome, decision, now)

    async def _called(self, delivery: Delivery, ready: Ready, now: float, traceparent: str | None) -> Outcome:
        hook = ready.hook
        job = DeliveryJob(
            delivery.id,
            without_nulls(delivery.event),
            delivery.source,
            hook,
            ready.config,
            delivery.attempts + 1,
            now,
            traceparent=traceparent,
        )
        try:
            async with asyncio.timeout(self._limits.attempt + self._limits.margin):
                return await ready.handler.deliver(job)
        except TimeoutError:
            return Retry("timeout", "the handler did not end in time", hold=True)
        except Exception as error:  # noqa: BLE001 - a handler's bug costs an attempt, never the worker
            # Without text and traceback: they may hold a URL or a header.
            log.warning("handler_failed", handler=hook.handler, hook=hook.name, error=type(error).__name__)
            return Retry("internal", f"the handler raised {type(error).__name__}")

    async def _first(self, delivery: Delivery) -> Attempt | None:
        """Return the delivery's first attempt; without it the schedule may be one step further."""
        try:
            attempts = await self._queue.attempts(delivery.id)
        except QueueError:
            return None
        return attempts[0] if attempts else None


def _record(number: int, started_at: float, seconds: float, outcome: Outcome) -> Attempt:
    delivered = isinstance(outcome, Delivered)
    return Attempt(
        number=number,
        started_at=started_at,
        seconds=seconds,
        outcome="delivered" if delivered else "retry" if isinstance(outcome, Retry) else "discard",
        error=None if isinstance(outcome, Delivered) else outcome.error,
        detail=outcome.note if isinstance(outcome, Delivered) else outcome.detail,
        status=outcome.answer.status,
        body=outcome.answer.body,
    )
