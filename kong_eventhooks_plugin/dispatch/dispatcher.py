"""The dispatcher: observations of the log phase become events, and events become offers to the queue.

Nothing here does I/O, and nothing waits but for a hook's filter (``dispatch.filters``): until the sandbox has answered,
a bounded time, the event is in memory alone. ``observe`` never raises: what goes wrong is counted as lost with its
reason, logged at a limited rate, and Kong is answered all the same.

===================  ===============================================================================
lost, by reason
===================  ===============================================================================
unreadable           what Kong sent is no log of a request
source_failed        a source raised: a bug
dispatch_failed      matching or offering raised something unforeseen: a bug
starting             the stored hooks are not loaded yet, and none that is in force matches
store_unavailable    the store did not commit
abandoned            the store let the offer go unanswered (it was closed)
buffer               too many offers wait for a commit (``QueueFull``'s reason)
queue_full, ...      committed, but at least one hook misses it by that limit of the queue
refused              committed on this node, but the store that nodes share cannot keep it (queue/forwarding)
===================  ===============================================================================

Limits: what waits for a commit is bounded by the queue (``Limits.waiting``), what waits for filters by the sandbox's
pool; nothing else is kept here.
"""

from asyncio import Future, Task, gather, get_running_loop, shield
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from kong_eventhooks_plugin.background import RateLimitedLogger
from kong_eventhooks_plugin.dispatch.event_spans import EventSpans
from kong_eventhooks_plugin.dispatch.filters import FilterEvaluator
from kong_eventhooks_plugin.dispatch.matcher import Matcher
from kong_eventhooks_plugin.dispatch.quiet_flood import QuietFlood
from kong_eventhooks_plugin.errors import HooksUnknown, ObservationError, QueueError, QueueFull
from kong_eventhooks_plugin.hooks.contract import ActiveHooks, HookChange
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.queue.contract import LOSSES, Acceptor, Candidate, Clock, Offer, Receipt
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sources.catalogue import CUSTOM, events_of
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog, decode
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from kong_eventhooks_plugin.telemetry.raised import raised_at

OTHER = "(other)"
"""The label of an event that its publisher named."""

REMOVED = "(removed)"
"""The label of a hook that was removed between its event's offer and the commit."""


def _ignore_receipt(_event: Event, _receipt: Receipt) -> None:
    return None


class Dispatcher:
    """A ``kong.plugin_server.contract.RequestObserver``; everything on the event loop.

    ``accepted`` is called with each event once it is committed, and what it led to; it must not wait. ``pool``
    evaluates hooks' filters; without it every filter lets pass. ``spans`` is there where tracing is on. Without
    ``snoozed_logs_per_second`` each log is read (``quiet_flood``).
    """

    log_statuses: frozenset[int]
    quiet: QuietFlood | None

    def __init__(
        self,
        registry: ActiveHooks,
        queue: Acceptor,
        sources: Sequence[RequestSource],
        metrics: Metrics,
        clock: Clock,
        *,
        accepted: Callable[[Event, Receipt], None] = _ignore_receipt,
        pool: Pool | None = None,
        spans: EventSpans | None = None,
        snoozed_logs_per_second: int | None = None,
    ) -> None:
        self._registry = registry
        self._queue = queue
        self._sources = tuple(sources)
        self._counts = metrics.counts
        self._limited_log = RateLimitedLogger(clock)
        self._accepted = accepted
        self._spans = spans
        self._filters = None if pool is None else FilterEvaluator(pool, clock, self._name_of)
        self._filtering: set[Task[Receipt]] = set()
        reads = snoozed_logs_per_second
        self.quiet = None if reads is None else QuietFlood(reads, clock, self._count_unread)
        self._index()
        registry.on_change(self._hooks_changed)

    def observe(self, seen: LogObservation) -> "Future[Any] | None":
        """Turn what the log phase saw into offers; the future ends when all are committed (None: nothing to wait for).

        A single event's future is the queue's own: it raises ``QueueError`` where the store failed, which is
        counted already.
        """
        sources = self._by_status.get(seen.status)
        if sources is None:
            return None
        try:
            log: KongLog = decode(seen.serialized) if seen.log is None else seen.log
        except ObservationError as error:
            self._count_loss("unreadable", error)
            return None
        offered: list[Future[Receipt]] = []
        for source in sources:
            self._publish_from(source, log, seen, offered)
        if not offered:
            return None
        return offered[0] if len(offered) == 1 else gather(*offered, return_exceptions=True)

    def publish(self, event: Event) -> "Future[Receipt] | None":
        """Offer an event from elsewhere to the hooks that match; None where none does.

        Raises ``QueueFull`` where too many offers wait, ``HooksUnknown`` until the stored hooks are loaded. Where
        filters are asked first the future raises ``QueueFull``, and where the store failed ``StoreUnavailable``. The
        event is still the caller's then, and not counted as lost.
        """
        return self._publish(event, None)

    def filter_error(self, hook: Hook) -> str | None:
        """Return the last error of a hook's filter, where it has never been evaluated without one."""
        return None if self._filters is None or hook.filter is None else self._filters.error(hook.id, hook.filter)

    def _publish_from(
        self, source: RequestSource, log: KongLog, seen: LogObservation, offered: "list[Future[Receipt]]"
    ) -> None:
        """Publish what one source makes of the request, into ``offered``; a failure stops no other source."""
        try:
            events = source.events(log, seen)
        except Exception as error:  # noqa: BLE001  a source's bug must reach neither Kong nor another source
            self._count_loss("source_failed", error, source=source.name)
            return
        for event in events:
            try:
                future = self._publish(event, seen)
            except Exception as error:  # noqa: BLE001  whatever the bug, Kong is answered
                self._count_loss(_reason(error), error)
            else:
                if future is not None:
                    offered.append(future)

    def _publish(self, event: Event, seen: LogObservation | None) -> "Future[Receipt] | None":
        """Publish an event that comes from a request, which nobody can offer again, or from elsewhere."""
        candidates = self._matcher.match(event)
        if not candidates:
            if not self._registry.loaded:
                raise HooksUnknown("the stored hooks are not loaded yet")
            return None
        if self._spans is not None:
            event = self._spans.begin(event, seen)
        ours = seen is not None
        filters = self._matcher.filters
        if filters and any(candidate.hook_id in filters for candidate in candidates):
            return self._filter(event, candidates, ours=ours)
        return self._enqueue(event, candidates, ours=ours)

    def _enqueue(self, event: Event, candidates: tuple[Candidate, ...], *, ours: bool) -> "Future[Receipt]":
        if self.quiet is not None:
            candidates = self.quiet.with_unread(event.event, candidates)
        future = self._queue.offer(Offer(event, candidates))
        future.add_done_callback(partial(self._on_committed, event, ours))
        return future

    def _filter(self, event: Event, candidates: tuple[Candidate, ...], *, ours: bool) -> "Future[Receipt]":
        """Evaluate the filters, then offer. Whoever stops waiting for the future stops neither."""
        task = get_running_loop().create_task(self._filtered(event, candidates, self._matcher.filters, ours=ours))
        self._filtering.add(task)
        task.add_done_callback(self._filtering.discard)
        future = shield(task)
        future.add_done_callback(_retrieve_exception)
        return future

    async def _filtered(
        self, event: Event, candidates: tuple[Candidate, ...], filters: Mapping[str, str], *, ours: bool
    ) -> Receipt:
        try:
            if self._filters is not None:
                candidates = await self._filters.evaluate(event, candidates, filters)
            future = self._enqueue(event, candidates, ours=ours)
        except Exception as error:
            if ours:
                self._count_loss(_reason(error), error)
            raise
        return await future

    def _name_of(self, hook_id: str) -> str:
        hook = self._registry.get(hook_id)
        return REMOVED if hook is None else hook.name

    def _on_committed(self, event: Event, ours: bool, future: "Future[Receipt]") -> None:
        """Count the outcome of an offer. Reading the exception also marks it as retrieved."""
        if future.cancelled():
            if ours:
                self._count_loss("abandoned", None)
            return
        error = future.exception()
        if error is not None:
            if ours:
                self._count_loss(_reason(error), error)
            return
        receipt = future.result()
        if not receipt.spooled:
            self.decided(event, receipt)

    def decided(self, event: Event, receipt: Receipt) -> None:
        """Count and report what an event led to: once it is committed, or once the store that nodes share says."""
        if receipt.duplicate:
            return
        # Who publishes names the event as it likes: a label for each would grow without a limit.
        name = OTHER if event.source == CUSTOM else event.event
        self._counts.events[event.source, name] += 1
        if receipt.held_back:
            self._count_held_back(receipt)
        if self.quiet is not None and receipt.fired:
            self.quiet.fired(event, receipt.fired)
        self._accepted(event, receipt)
        if self._spans is not None:
            self._spans.committed(event, receipt)

    def _count_held_back(self, receipt: Receipt) -> None:
        for hook_id, reason in receipt.held_back.items():
            self._counts.held_back[self._name_of(hook_id), reason] += 1
        for limit in LOSSES.intersection(receipt.held_back.values()):
            self._count_loss(limit, None)

    def _count_unread(self, status: int) -> None:
        self._counts.unread_logs[(str(status),)] += 1

    def _count_loss(self, reason: str, error: BaseException | None, **fields: str) -> None:
        """Count a loss, and log it at a limited rate. Only our own errors' texts hold nothing that a client sent."""
        self._counts.events_lost[(reason,)] += 1
        if error is not None:
            ours = isinstance(error, QueueError | ObservationError)
            fields |= {"error": type(error).__name__, "detail": str(error) if ours else f"raised in {raised_at(error)}"}
        self._limited_log.error("event_lost", f"{reason} {fields.get('error')}", reason=reason, **fields)

    def _hooks_changed(self, _: Collection[HookChange]) -> None:
        if self._filters is not None:
            self._filters.forget(self._registry.hooks())
        self._index()

    def statuses_changed(self) -> None:
        """Read anew for which statuses the sources can make events."""
        self._index()

    def _index(self) -> None:
        """Index the hooks, and the statuses for which an enabled one can fire: Kong is asked for no other log.

        Until the stored hooks are loaded, any source may have a subscriber.
        """
        self._matcher = Matcher(self._registry.hooks().values())
        subscribed = [
            source
            for source in self._sources
            if not self._registry.loaded or self._matcher.has_subscribers(source.name, events_of(source.name))
        ]
        by_status: dict[int, tuple[RequestSource, ...]] = {}
        for source in subscribed:
            for status in source.statuses():  # it reads every plugin's configuration: called once
                by_status[status] = (*by_status.get(status, ()), source)
        self._by_status: Mapping[int, tuple[RequestSource, ...]] = by_status
        self.log_statuses = frozenset(self._by_status)
        if self.quiet is not None:
            # Until the stored hooks are loaded nobody knows which hooks there are.
            self.quiet.index(self._registry.hooks().values(), by_status if self._registry.loaded else {})


def _retrieve_exception(future: "Future[Receipt]") -> None:
    """Mark a failure as retrieved: it is counted, and not everybody waits for it."""
    if not future.cancelled():
        future.exception()


def _reason(error: BaseException) -> str:
    if isinstance(error, QueueFull):
        return error.reason
    if isinstance(error, HooksUnknown):
        return "starting"
    return "store_unavailable" if isinstance(error, QueueError) else "dispatch_failed"
