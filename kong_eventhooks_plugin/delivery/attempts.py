"""One attempt: calls the handler within its time, records the outcome, decides what follows."""

from collections.abc import Callable

import msgspec
import structlog

from kong_eventhooks_plugin.delivery.backoff import Decision, Random, decide
from kong_eventhooks_plugin.delivery.hook_readiness import Ready
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.handlers.contract import DeliveryJob
from kong_eventhooks_plugin.model.delivery import Attempt, Delivered, Delivery, Outcome, Retry
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.trace import new_span_id
from kong_eventhooks_plugin.queue.contract import Clock, Queue
from kong_eventhooks_plugin.sources.nulls import without_nulls
from kong_eventhooks_plugin.time_limits import TimeLimits

log = structlog.get_logger()


class AttemptResult(msgspec.Struct, frozen=True):
    """An attempt that ended at ``at`` (Unix seconds). ``span_id`` is there where it was made in a trace."""

    outcome: Outcome
    decision: Decision
    at: float
    span_id: str | None = None


class Attempts:
    """``monotonic`` measures attempts: the clock of the day may jump. ``traced``: tracing is on."""

    def __init__(
        self,
        queue: Queue,
        clock: Clock,
        monotonic: Callable[[], float],
        random: Random,
        traced: bool = False,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._monotonic = monotonic
        self._random = random
        self._traced = traced
        self._times = TimeLimits()

    async def make(self, delivery: Delivery, ready: Ready) -> AttemptResult:
        """Call the handler once. Raises nothing but the task's cancellation."""
        started_at, started = self._clock(), self._monotonic()
        span_id = new_span_id() if self._traced and delivery.event.trace is not None else None
        outcome = await self._called(delivery, ready, started_at, span_id)
        attempt = _record(delivery.attempts + 1, started_at, self._monotonic() - started, outcome)
        first = await self._first(delivery) if isinstance(outcome, Retry) and delivery.attempts else None
        now = self._clock()
        decision = decide(delivery.id, outcome, attempt, first, ready.rules.retry, now, self._random)
        return AttemptResult(outcome, decision, now, span_id)

    async def _called(self, delivery: Delivery, ready: Ready, now: float, span_id: str | None) -> Outcome:
        hook, trace, event = ready.hook, delivery.event.trace, sent_event(delivery)
        job = DeliveryJob(
            delivery.id,
            event,
            delivery.source,
            hook,
            ready.config,
            delivery.attempts + 1,
            now,
            traceparent=None if trace is None or span_id is None else trace.traceparent(span_id),
            data=delivery.data if event is delivery.event else b"",
        )
        try:
            with self._times.within(ready.rules.longest):
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


def sent_event(delivery: Delivery) -> Event:
    """Return the event as handlers send it: with ``suppressed`` in its data, unless it has a field of that name."""
    event, suppressed = delivery.event, delivery.suppressed
    if not delivery.data or b"null" in delivery.data:  # else there is none to leave out
        event = without_nulls(event)
    if suppressed is None or "suppressed" in event.data:
        return event
    count = {"count": suppressed.count, "since": int(suppressed.since)}
    if suppressed.unread:
        count["unread"] = suppressed.unread
    return msgspec.structs.replace(event, data={**event.data, "suppressed": count})


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
        headers=outcome.answer.headers,
        request=outcome.request,
    )
