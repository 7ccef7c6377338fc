"""Publishes events of our own: of what the delivery worker reports, and of states that are looked at in rounds.

No loop: nothing is published of a delivery whose event is of this source, so each event leads to no other by failing.
An id is derived from what happened; the queue keeps one event of an id, whichever process reports it, however often.

Limits: rounds every ``ROUND_SECONDS``; of a hook's dead deliveries one event in ``DEAD_SECONDS``, which counts the
others; of a held hook one a day, once it has been held for ``HELD_SECONDS``; of a limit of the queue one an hour, after
``FILLING`` of it are used, and not again before it was below ``DRAINED``. ``PENDING`` events wait for a queue that does
not accept; past them the oldest is dropped, which is logged.
"""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import structlog

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.model.delivery import Delivery, Discard, Retry, log_fields
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.queue.contract import (
    EndpointHealth,
    Publish,
    Queue,
    QueueLimits,
    Receipt,
    Settlement,
    Stats,
)
from kong_eventhooks_plugin.sources.own import catalogue
from kong_eventhooks_plugin.sources.own.catalogue import EVENT_HOOKS
from kong_eventhooks_plugin.sources.state import state_of

ROUND_SECONDS: Final = 10.0
DEAD_SECONDS: Final = 60.0
HELD_SECONDS: Final = 30.0
FILLING: Final = 0.8
DRAINED: Final = 0.6
PENDING: Final = 100

REPORTED: Final = frozenset({"unresolved", "invalid", "no_admin_api", "filter_failing", "no_handler"})
"""The reasons of held hooks that do not end by themselves and that have no event of their own."""

_DAY, _HOUR = 86_400.0, 3_600.0
_ENTRIES: Final = {entry.name: entry for entry in catalogue.ENTRY.events}

log = structlog.get_logger()

Held = Callable[[Hook], str | None]
"""Takes a hook and returns why it is held, None where it is not."""


class _Dead(NamedTuple):
    """When a hook's last event went out, how many deliveries died since, and the event of the last of them."""

    reported_at: float
    died: int
    last: Event | None


class OwnEvents:
    """``hooks`` returns those in force; ``clock`` gives Unix seconds."""

    def __init__(
        self,
        publish: Publish,
        hooks: Callable[[], Mapping[str, Hook]],
        queue: Queue,
        limits: QueueLimits,
        clock: Callable[[], float],
    ) -> None:
        self._publish = publish
        self._hooks = hooks
        self._queue = queue
        self._limits = limits
        self._clock = clock
        self._dead: dict[str, _Dead] = {}
        self._held: dict[str, tuple[str, float]] = {}
        self._told: set[str] = set()
        self._filling: set[tuple[str, str | None]] = set()
        self._pending: deque[Event] = deque()

    # delivery.reports.Incidents

    def endpoint_disabled(self, hook: Hook, health: EndpointHealth) -> None:
        self._offer(_of_endpoint(catalogue.ENDPOINT_DISABLED, hook.name, health, health.disabled_at or 0.0))

    def endpoint_recovered(self, health: EndpointHealth) -> None:
        hook = self._hooks().get(health.hook_id)
        name = health.hook_id if hook is None else hook.name
        self._offer(_of_endpoint(catalogue.ENDPOINT_RECOVERED, name, health, self._clock()))

    def delivery_dead(
        self, hook: Hook, delivery: Delivery, outcome: Retry | Discard, settlement: Settlement, at: float
    ) -> None:
        if delivery.event.source == EVENT_HOOKS or not self._has_subscribers():
            return
        known = self._dead.get(hook.id, _Dead(float("-inf"), 0, None))
        dead = known._replace(died=known.died + 1, last=_of_delivery(hook, delivery, outcome, settlement, at))
        self._dead[hook.id] = self._report_dead(dead, at)

    async def run(self, held: Held, leads: Callable[[], bool], delivers: Callable[[str], bool]) -> None:
        """Check states in rounds, for ever; ``delivers`` returns whether this process delivers a hook."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            await self.round(held, leads=leads(), delivers=delivers)

    async def round(self, held: Held, *, leads: bool, delivers: Callable[[str], bool]) -> None:
        now = self._clock()
        for event in [self._pending.popleft() for _ in range(len(self._pending))]:
            self._offer(event)
        reported = {hook_id: self._report_dead(dead, now) for hook_id, dead in self._dead.items()}
        self._dead = {hook_id: dead for hook_id, dead in reported.items() if now - dead.reported_at < DEAD_SECONDS}
        if not self._has_subscribers():
            return
        for event in self._of_held(held, now, delivers):
            self._offer(event)
        if not leads:
            return
        try:
            stats = await self._queue.stats()
        except QueueError:
            return
        for event in self._of_queue(stats, now):
            self._offer(event)

    def _report_dead(self, dead: _Dead, now: float) -> _Dead:
        if dead.last is None or 0 <= now - dead.reported_at < DEAD_SECONDS:
            return dead
        dead.last.data["count"] = dead.died
        self._offer(dead.last)
        return _Dead(now, 0, None)

    def _of_held(self, held: Held, now: float, delivers: Callable[[str], bool]) -> Iterator[Event]:
        ours = [hook for hook in self._hooks().values() if delivers(hook.id)]
        reasons = {hook.id: reason for hook in ours if (reason := held(hook)) is not None}
        kinds = {hook_id: reason.partition(":")[0] for hook_id, reason in reasons.items()}
        self._held = {
            hook_id: known if (known := self._held.get(hook_id)) is not None and known[0] == kind else (kind, now)
            for hook_id, kind in kinds.items()
            if kind in REPORTED
        }
        day = now - now % _DAY
        events = [
            _event(
                catalogue.HOOK_HELD,
                day,
                (hook_id, kind),
                now,
                hook=self._hooks()[hook_id].name,
                hook_id=hook_id,
                reason=kind,
                detail=reasons[hook_id].partition(": ")[2] or None,
            )
            for hook_id, (kind, since) in self._held.items()
            if now - since >= HELD_SECONDS
        ]
        new = [event for event in events if event.id not in self._told]
        self._told = {event.id for event in events}
        yield from new

    def _of_queue(self, stats: Stats, now: float) -> Iterator[Event]:
        hour = now - now % _HOUR
        for limit, hook_id, used, maximum in self._uses(stats):
            key = (limit, hook_id)
            if used >= FILLING * maximum:
                if key not in self._filling:
                    self._filling.add(key)
                    hook = None if hook_id is None else self._hooks().get(hook_id)
                    name = hook_id if hook is None else hook.name
                    data = {"limit": limit, "used": used, "maximum": maximum, "hook": name, "hook_id": hook_id}
                    yield _event(catalogue.QUEUE_FILLING, hour, (limit, hook_id or ""), now, **data)
            elif used < DRAINED * maximum:
                self._filling.discard(key)
        hooks = stats.per_hook.keys()
        self._filling = {key for key in self._filling if key[1] is None or key[1] in hooks}

    def _uses(self, stats: Stats) -> Iterator[tuple[str, str | None, int, int]]:
        limits = self._limits
        unsettled = stats.depth.get("pending", 0) + stats.depth.get("leased", 0)
        yield "queue_deliveries", None, unsettled, limits.deliveries
        yield "queue_bytes", None, stats.unsettled_bytes, limits.bytes
        for hook_id, count in stats.per_hook.items():
            yield "queue_deliveries_per_hook", hook_id, count, limits.deliveries_per_hook

    def _has_subscribers(self) -> bool:
        return any(hook.enabled and hook.source == EVENT_HOOKS for hook in self._hooks().values())

    def _offer(self, event: Event) -> None:
        try:
            future = self._publish(event)
        except QueueError:
            self._keep(event)
            return
        if future is not None:
            future.add_done_callback(partial(self._offered, event))

    def _offered(self, event: Event, future: "Future[Receipt]") -> None:
        if not future.cancelled() and isinstance(future.exception(), QueueError):
            self._keep(event)

    def _keep(self, event: Event) -> None:
        self._pending.append(event)
        while len(self._pending) > PENDING:
            dropped = self._pending.popleft()
            log.warning("own_event_lost", of_event=dropped.event, event_id=dropped.id)


def _event(name: str, at: float, parts: Iterable[str], now: float, **data: Any) -> Event:
    """Return an event whose id follows from ``at`` and ``parts``."""
    new_id = event_id(at, EVENT_HOOKS, name, *parts)
    entry = _ENTRIES[name]
    data |= state_of(EVENT_HOOKS, entry, data)
    return Event(id=new_id, source=EVENT_HOOKS, event=name, data=data, time=now, unique=entry.unique)


def _of_endpoint(name: str, hook: str, health: EndpointHealth, now: float) -> Event:
    data = {"hook": hook, "hook_id": health.hook_id, "reason": health.disabled, "since": health.failing_since}
    return _event(name, health.disabled_at or 0.0, (health.hook_id,), now, **data)


def _of_delivery(hook: Hook, delivery: Delivery, outcome: Retry | Discard, settlement: Settlement, at: float) -> Event:
    attempt = settlement.attempt.number if settlement.attempt is not None else delivery.attempts
    return _event(
        catalogue.DELIVERY_EXHAUSTED,
        delivery.event.time,
        (delivery.id, str(attempt)),
        at,
        hook=hook.name,
        hook_id=hook.id,
        delivery_id=delivery.id,
        of_source=delivery.event.source,
        of_event=delivery.event.event,
        event_id=delivery.event.id,
        reason=settlement.reason,
        **log_fields(outcome),
        status=outcome.answer.status,
        attempts=attempt,
        count=1,
    )
