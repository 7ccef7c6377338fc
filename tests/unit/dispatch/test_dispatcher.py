"""From an observation to offers, counts and a future; every failure counted, none raised."""

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from kong_eventhooks_plugin.dispatch.dispatcher import REMOVED, Dispatcher
from kong_eventhooks_plugin.errors import HooksUnknown, QueueError, QueueFull, StoreUnavailable
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.model.scope import HookScope
from kong_eventhooks_plugin.queue.contract import Candidate, HeldBack, Receipt
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.infer import InferRule
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource
from kong_eventhooks_plugin.sources.requests.response_rate_limiting import ResponseRateLimiting
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.events import (
    SEEN_AT,
    StandInBook,
    StandInQueue,
    answered,
    make_event,
    make_hook,
    recorded,
    seen,
    serialized,
)
from tests.support.waiting import SECONDS

LIMITED = seen(serialized())
BOTH = (RateLimiting(), ResponseRateLimiting())


class Several:
    """A source that makes what it is told to, of any 429 or 418."""

    name = "rate-limiting"

    def __init__(self, *events: Event, error: Exception | None = None, statuses: tuple[int, ...] = (429, 418)) -> None:
        self.made = list(events)
        self.error = error
        self.cares_for = frozenset(statuses)

    def statuses(self) -> frozenset[int]:
        return self.cares_for

    def events(self, log: KongLog, seen: LogObservation) -> list[Event]:
        if self.error is not None:
            raise self.error
        return self.made


class Setup:
    """A dispatcher between stand-ins."""

    def __init__(self, *hooks: Hook, sources: tuple[RequestSource, ...] = BOTH) -> None:
        self.registry = StandInBook(*hooks)
        self.queue = StandInQueue()
        self.metrics = Metrics()
        self.now = SEEN_AT
        self.dispatcher = Dispatcher(
            self.registry,
            self.queue,  # type: ignore[arg-type]  # stands in for what the dispatcher calls of a queue
            sources,
            self.metrics,
            lambda: self.now,
        )

    @property
    def lost(self) -> dict[str, int]:
        return {reason: count for (reason,), count in self.metrics.counts.events_lost.items()}

    def offered(self) -> list[tuple[str, tuple[Candidate, ...]]]:
        return [(offer.event.source, offer.candidates) for offer in self.queue.offers]


class TestObserve:
    async def test_a_broken_limit_is_offered_and_counted_after_the_commit(self) -> None:
        hook = make_hook()
        setup = Setup(hook)
        future = setup.dispatcher.observe(LIMITED)
        assert future is setup.queue.futures[0]
        assert setup.offered() == [("rate-limiting", (Candidate(hook.id, "rate-limiting"),))]
        assert not setup.metrics.counts.events
        await setup.queue.commit()
        assert future.done()
        assert setup.metrics.counts.events == {("rate-limiting", "rate-limit-exceeded"): 1}
        assert setup.lost == {}

    async def test_each_recorded_request_is_offered_or_left(self) -> None:
        setup = Setup(make_hook(source="rate-limiting-advanced"))
        waits = {line: setup.dispatcher.observe(told) is not None for line, told in recorded().items()}
        assert {line for line, waited in waits.items() if waited} == {4, 5, 8, 9, 15, 16}
        assert [source for source, _ in setup.offered()] == ["rate-limiting"] * 4 + ["response-ratelimiting"] * 2
        assert {each.source for _, candidates in setup.offered() for each in candidates} == {"rate-limiting-advanced"}

    async def test_an_event_that_no_hook_hears_is_not_offered(self) -> None:
        setup = Setup(make_hook(scope=HookScope(service="elsewhere")))
        assert setup.dispatcher.observe(LIMITED) is None
        assert setup.queue.offers == []

    async def test_a_request_that_is_no_event_waits_for_nothing(self) -> None:
        setup = Setup(make_hook())
        assert setup.dispatcher.observe(seen(serialized(source="upstream"))) is None
        assert setup.lost == {}

    async def test_a_status_that_no_hook_cares_for_is_not_even_read(self) -> None:
        setup = Setup(make_hook())
        assert setup.dispatcher.observe(LogObservation("event-hooks", 200, "not json", SEEN_AT)) is None
        assert setup.lost == {}

    async def test_both_plugins_telling_of_one_request_tell_the_same_event(self) -> None:
        setup = Setup(make_hook())
        for plugin in ("event-hooks", "event-hooks-crud"):
            setup.dispatcher.observe(LogObservation(plugin, 429, LIMITED.serialized, SEEN_AT))
        first, second = setup.queue.offers
        assert first.event.id == second.event.id

    async def test_what_was_told_before_is_not_counted_again(self) -> None:
        setup = Setup(make_hook("a"))
        setup.dispatcher.observe(LIMITED)
        await setup.queue.commit(duplicate=True, a="snoozed")
        assert not setup.metrics.counts.events
        assert not setup.metrics.counts.held_back

    async def test_several_events_are_waited_for_together(self) -> None:
        setup = Setup(make_hook(), sources=(Several(make_event(id="e-1"), make_event(id="e-2")),))
        future = setup.dispatcher.observe(LIMITED)
        assert future is not None
        await setup.queue.fail(StoreUnavailable("disk full"), 1)
        assert not future.done()
        await setup.queue.commit(0)
        first, second = await asyncio.wait_for(future, SECONDS)
        assert (first.event_id, type(second)) == ("e-1", StoreUnavailable)
        assert setup.lost == {"store_unavailable": 1}


class TestHeldBack:
    async def test_what_a_hook_kept_back_is_counted_by_its_name(self) -> None:
        setup = Setup(make_hook("a", snooze=60), make_hook("b", on_change=True), make_hook("c", enabled=False))
        setup.dispatcher.observe(LIMITED)
        await setup.queue.commit(a="snoozed", b="unchanged", c="disabled")
        assert setup.metrics.counts.held_back == {("a", "snoozed"): 1, ("b", "unchanged"): 1, ("c", "disabled"): 1}
        assert setup.lost == {}

    @pytest.mark.parametrize("reason", ["queue_full", "queue_bytes", "hook_queue_full"])
    async def test_a_limit_of_the_queue_is_a_loss_once_an_event(self, reason: HeldBack) -> None:
        setup = Setup(make_hook("a"), make_hook("b"))
        setup.dispatcher.observe(LIMITED)
        await setup.queue.commit(a=reason, b=reason)
        assert setup.metrics.counts.held_back == {("a", reason): 1, ("b", reason): 1}
        assert setup.lost == {reason: 1}

    async def test_a_hook_that_went_meanwhile_has_no_label_of_its_own(self) -> None:
        setup = Setup(make_hook("a", snooze=60))
        setup.dispatcher.observe(LIMITED)
        setup.registry.change()
        await setup.queue.commit(a="snoozed")
        assert setup.metrics.counts.held_back == {(REMOVED, "snoozed"): 1}


class TestFailures:
    """Nothing reaches Kong, everything is counted."""

    @pytest.mark.parametrize("wrong", ["", "[]", "{", json.dumps(serialized())[:99]])
    async def test_what_cannot_be_read(self, wrong: str) -> None:
        setup = Setup(make_hook())
        assert setup.dispatcher.observe(LogObservation("event-hooks", 429, wrong, SEEN_AT)) is None
        assert setup.lost == {"unreadable": 1}

    async def test_a_failing_source_does_not_stop_another(self) -> None:
        failing = Several(error=ValueError("apikey joekey"))
        setup = Setup(make_hook(), sources=(failing, RateLimiting()))
        with capture_logs() as logs:
            assert setup.dispatcher.observe(LIMITED) is setup.queue.futures[0]
        assert setup.lost == {"source_failed": 1}
        (line,) = logs
        assert (line["event"], line["reason"], line["error"]) == ("event_lost", "source_failed", "ValueError")
        assert line["detail"].startswith("raised in test_dispatcher.py:")
        assert "joekey" not in str(line)

    @pytest.mark.parametrize(
        ("refusal", "reason"),
        [
            (QueueFull("buffer", "10000 offers wait"), "buffer"),
            (StoreUnavailable("closed"), "store_unavailable"),
            (QueueError("odd"), "store_unavailable"),
            (RuntimeError("bug"), "dispatch_failed"),
        ],
    )
    async def test_a_queue_that_takes_nothing(self, refusal: Exception, reason: str) -> None:
        setup = Setup(make_hook())
        setup.queue.refusal = refusal
        assert setup.dispatcher.observe(LIMITED) is None
        assert setup.lost == {reason: 1}

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (StoreUnavailable("disk full"), "store_unavailable"),
            (QueueFull("buffer", "full"), "buffer"),
            (RuntimeError("bug"), "dispatch_failed"),
        ],
    )
    async def test_a_commit_that_fails(self, error: Exception, reason: str) -> None:
        setup = Setup(make_hook())
        future = setup.dispatcher.observe(LIMITED)
        await setup.queue.fail(error)
        assert future is not None
        assert future.exception() is error
        assert setup.lost == {reason: 1}
        assert not setup.metrics.counts.events

    async def test_a_failure_nobody_waits_for_is_seen_all_the_same(self) -> None:
        # A future whose exception nobody asks for complains when it goes, and warnings are errors here.
        setup = Setup(make_hook())
        setup.dispatcher.observe(LIMITED)
        await setup.queue.fail(StoreUnavailable("disk full"))
        setup.queue.futures.clear()
        assert setup.lost == {"store_unavailable": 1}

    async def test_a_store_that_lets_an_offer_go(self) -> None:
        setup = Setup(make_hook())
        setup.dispatcher.observe(LIMITED)
        setup.queue.futures[0].cancel()
        await asyncio.sleep(0)
        assert setup.lost == {"abandoned": 1}

    async def test_before_the_stored_hooks_are_loaded_what_no_hook_hears_is_lost(self) -> None:
        setup = Setup()
        setup.registry.loaded = False
        setup.registry.change()
        assert 429 in setup.dispatcher.log_statuses
        with capture_logs() as lines:
            assert setup.dispatcher.observe(LIMITED) is None
            assert setup.dispatcher.observe(LIMITED) is None
        assert setup.lost == {"starting": 2}
        assert [(line["event"], line["reason"]) for line in lines] == [("event_lost", "starting")]
        with pytest.raises(HooksUnknown):
            setup.dispatcher.publish(make_event())
        setup.registry.change(make_hook())
        assert setup.dispatcher.observe(LIMITED) is not None, "a hook of a file or of Kong is in force at once"
        setup.registry.loaded = True
        setup.registry.change()
        assert setup.dispatcher.observe(LIMITED) is None
        assert setup.lost == {"starting": 2}

    async def test_a_thousand_failures_are_counted_and_logged_once(self) -> None:
        setup = Setup(make_hook())
        setup.queue.refusal = QueueFull("buffer", "10000 offers wait")
        with capture_logs() as logs:
            for _ in range(1000):
                setup.dispatcher.observe(LIMITED)
        assert setup.lost == {"buffer": 1000}
        assert [line["detail"] for line in logs] == ["10000 offers wait"]


class TestPublish:
    async def test_an_event_from_elsewhere(self) -> None:
        hook = make_hook(source="crud")
        setup = Setup(hook)
        future = setup.dispatcher.publish(make_event(source="crud", event="consumers"))
        assert future is not None
        await setup.queue.commit()
        assert isinstance(future.result(), Receipt)
        assert setup.metrics.counts.events == {("crud", "consumers"): 1}

    async def test_one_that_no_hook_hears(self) -> None:
        assert Setup(make_hook()).dispatcher.publish(make_event(source="crud")) is None

    async def test_a_full_queue_is_the_callers_to_try_again(self) -> None:
        setup = Setup(make_hook())
        setup.queue.refusal = QueueFull("buffer", "full")
        with pytest.raises(QueueFull):
            setup.dispatcher.publish(make_event())
        assert setup.lost == {}


class TestAskKongForLittle:
    """Decision 6: only statuses of sources that an enabled hook hears."""

    @pytest.mark.parametrize(
        ("hooks", "statuses"),
        [
            ([], set()),
            ([{}], {429, 503}),
            ([{"source": "response-ratelimiting"}], {429}),
            ([{"source": "rate-limiting-advanced"}], {429, 503}),
            ([{"source": "crud"}], set()),
            ([{"event": "another"}], set()),
            ([{"enabled": False}], set()),
            ([{"enabled": False}, {"source": "response-ratelimiting"}], {429}),
            ([{"scope": HookScope(service="demo")}], {429, 503}),
        ],
    )
    async def test_statuses(self, hooks: list[dict[str, Any]], statuses: set[int]) -> None:
        made = [make_hook(str(at), **fields) for at, fields in enumerate(hooks)]
        rule = InferRule("route", "demo-route", 503)
        setup = Setup(*made, sources=(RateLimiting(Attribution([rule])), ResponseRateLimiting()))
        assert setup.dispatcher.log_statuses == statuses

    async def test_they_follow_the_hooks(self) -> None:
        setup = Setup()
        assert setup.dispatcher.log_statuses == set()
        assert setup.dispatcher.observe(LIMITED) is None
        setup.registry.change(make_hook())
        assert setup.dispatcher.log_statuses == {429}
        assert setup.dispatcher.observe(LIMITED) is not None
        setup.registry.change(make_hook(enabled=False))
        assert setup.dispatcher.log_statuses == set()
        assert setup.dispatcher.observe(LIMITED) is None
        assert setup.lost == {}

    async def test_a_source_hears_only_its_own_statuses(self) -> None:
        teapot = Several(make_event(id="teapot"), statuses=(418,))
        setup = Setup(make_hook(), sources=(RateLimiting(), teapot))
        assert setup.dispatcher.log_statuses == {429, 418}
        setup.dispatcher.observe(LIMITED)
        setup.dispatcher.observe(seen(serialized(), 418))
        assert [offer.event.id == "teapot" for offer in setup.queue.offers] == [False, True]

    async def test_a_source_that_no_hook_hears_is_not_asked(self) -> None:
        setup = Setup(make_hook(source="response-ratelimiting"))
        assert setup.dispatcher.observe(LIMITED) is None
        assert setup.dispatcher.observe(seen(answered())) is not None


def test_a_source_is_asked_for_its_statuses_once_each_time() -> None:
    class Asked(Several):
        times = 0

        def statuses(self) -> frozenset[int]:
            self.times += 1
            return super().statuses()

    many, few = Asked(statuses=tuple(range(200, 500))), Asked()
    setup = Setup(make_hook(), sources=(many, few))
    assert (many.times, few.times) == (1, 1)  # each time may look at 100,000 plugins, on the loop
    setup.dispatcher.statuses_changed()
    assert (many.times, few.times) == (2, 2)
    assert setup.dispatcher.log_statuses == set(range(200, 500))
