"""Which requests' logs are not read: only those that can fire no hook, whatever they say."""

from asyncio import Future
from typing import Any

import pytest
from msgspec.structs import replace

from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
from kong_eventhooks_plugin.dispatch.quiet_flood import QuietFlood
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.suppression import (
    CLOCK_SLACK,
    Suppressed,
    SuppressionRule,
    SuppressionSlot,
    decide_suppression,
)
from kong_eventhooks_plugin.queue.contract import DeliveryFilter, QueueLimits, Receipt
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from kong_eventhooks_plugin.sources.requests.response_rate_limiting import ResponseRateLimiting
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.events import SEEN_AT, StandInBook, events, make_hook, seen, serialized
from tests.support.memory_queue import MemoryQueue

SNOOZE = 60


class Setup:
    """A dispatcher over a queue, at a time that the test sets."""

    def __init__(self, *hooks: Hook, reads: int | None = 0) -> None:
        self.now = SEEN_AT
        self.registry = StandInBook(*hooks)
        self.metrics = Metrics()
        self.queue = MemoryQueue(QueueLimits(), lambda: self.now)
        self.dispatcher = Dispatcher(
            self.registry,
            self.queue,
            (RateLimiting(), ResponseRateLimiting()),
            self.metrics,
            lambda: self.now,
            snoozed_logs_per_second=reads,
        )

    async def refuse(self) -> None:
        """Take a refusal of rate-limiting, whose log is read."""
        await self.queue.open()
        await self.offer()

    def offer(self) -> "Future[Receipt]":
        self.now += 0.001
        offered = self.dispatcher.observe(replace(seen(serialized(request={"id": f"{self.now}"})), seen_at=self.now))
        assert offered is not None
        return offered

    def skips(self) -> bool:
        quiet = self.dispatcher.quiet
        return quiet is not None and quiet.skips(429)

    @property
    def unread(self) -> dict[tuple[str], int]:
        return dict(self.metrics.counts.unread_logs)


async def test_a_log_is_not_read_while_the_hook_is_snoozed() -> None:
    setup = Setup(make_hook("a", snooze=SNOOZE))
    assert not setup.skips()
    await setup.refuse()
    assert setup.skips()
    assert setup.skips()
    assert setup.unread == {("429",): 2}
    setup.now += SNOOZE
    assert not setup.skips()


@pytest.mark.parametrize(
    "other",
    [
        {"on_change": True, "snooze": SNOOZE},  # another client's event fires it
        {"on_change": True},
        {},
        {"snooze": SNOOZE, "source": "response-ratelimiting"},  # has not fired: the log may be its event
        {"snooze": SNOOZE // 2},  # silent for less long
    ],
    ids=str,
)
async def test_it_is_read_where_another_hook_can_fire(other: dict[str, Any]) -> None:
    setup = Setup(make_hook("a", snooze=SNOOZE), make_hook("b", **other))
    await setup.refuse()
    setup.now += SNOOZE / 2
    assert not setup.skips()


async def test_a_disabled_hook_cannot_fire() -> None:
    setup = Setup(make_hook("a", snooze=SNOOZE), make_hook("b", enabled=False))
    await setup.refuse()
    assert setup.skips()


async def test_so_many_a_second_are_read() -> None:
    setup = Setup(make_hook("a", snooze=SNOOZE), reads=2)
    await setup.refuse()
    assert [setup.skips() for _ in range(4)] == [False, False, True, True]
    setup.now += 1
    assert [setup.skips() for _ in range(3)] == [False, False, True]
    assert setup.unread == {("429",): 3}


async def test_the_next_delivery_has_how_many_were_not_read() -> None:
    """Also where the hook has changed meanwhile, and whatever the sweeps have left of its slot."""
    hook = make_hook("a", snooze=SNOOZE)
    setup = Setup(hook)
    await setup.refuse()
    fired_at = setup.now
    assert [setup.skips() for _ in range(3)] == [True] * 3
    setup.registry.change(hook)
    for _ in range(2):
        setup.now += SNOOZE
        await setup.queue.sweep()
        await setup.offer()
    page = await setup.queue.page(DeliveryFilter(), 3)
    assert [one.suppressed for one in page.deliveries] == [None, Suppressed(0, fired_at, 3), None]


async def test_all_are_read_after_hooks_have_changed() -> None:
    setup = Setup(make_hook("a", snooze=SNOOZE))
    await setup.refuse()
    assert setup.skips()
    setup.registry.change(make_hook("a", snooze=SNOOZE))
    assert not setup.skips()


async def test_an_event_from_before_a_change_says_nothing() -> None:
    """The store may have known the hook with a shorter snooze."""
    setup = Setup(make_hook("a", snooze=SNOOZE))
    await setup.queue.open()
    offered = setup.offer()
    setup.registry.change(make_hook("a", snooze=10 * SNOOZE))
    await offered
    assert not setup.skips()


async def test_nothing_is_left_unread_unless_it_is_set() -> None:
    setup = Setup(make_hook("a", snooze=SNOOZE), reads=None)
    await setup.refuse()
    assert setup.dispatcher.quiet is None


@pytest.mark.parametrize("passed", [-CLOCK_SLACK - 1, -CLOCK_SLACK, -1.0, 0.0, SNOOZE - 0.001, SNOOZE, SNOOZE + 1])
def test_it_agrees_with_the_rule(passed: float) -> None:
    now = [SEEN_AT]
    quiet = QuietFlood(0, lambda: now[0], lambda status: None)
    hook = make_hook("a", snooze=SNOOZE)
    now[0] = SEEN_AT - 1
    quiet.index([hook], {429: [RateLimiting()]})
    (event,) = events(RateLimiting(), seen(serialized()))
    quiet.fired(event, [hook.id])
    now[0] = SEEN_AT + passed
    slot = SuppressionSlot(b"", SEEN_AT + SNOOZE, since=SEEN_AT)
    silent = decide_suppression(SuppressionRule(False, SNOOZE), slot, b"", now[0]) == "snoozed"
    assert quiet.skips(429) is silent
    assert quiet.now or not silent
