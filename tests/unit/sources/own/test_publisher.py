"""Events of our own: what becomes one, how often, and that none feeds itself."""

import asyncio
from asyncio import Future
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from kong_eventhooks_plugin.errors import QueueFull, StoreUnavailable
from kong_eventhooks_plugin.model.delivery import Answer, Attempt, Delivery, Discard, Retry
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import EndpointHealth, QueueLimits, Receipt, Settlement, Stats
from kong_eventhooks_plugin.sources.catalogue import unique_fields
from kong_eventhooks_plugin.sources.own.publisher import DEAD_SECONDS, HELD_SECONDS, PENDING, OwnEvents
from tests.support.declared import undeclared
from tests.support.events import make_event, make_hook
from tests.support.memory_queue import MemoryQueue

A = make_hook("a")
LISTENER = make_hook("listener", source="event-hooks")
LIMITS = QueueLimits(deliveries=100, bytes=1_000, deliveries_per_hook=50)


class World:
    def __init__(self, *hooks: Hook) -> None:
        self.now = 1_800_000_000.0
        self.events: list[Event] = []
        self.refusal: Exception | None = None
        self.late: Exception | None = None
        self.hooks = {hook.id: hook for hook in hooks}
        self.queue = MemoryQueue()
        self.reasons: dict[str, str] = {}
        self.own = OwnEvents(self.publish, lambda: self.hooks, self.queue, LIMITS, lambda: self.now)

    def publish(self, event: Event) -> "Future[Receipt] | None":
        if self.refusal is not None:
            raise self.refusal
        if self.late is not None:
            future: Future[Receipt] = asyncio.get_running_loop().create_future()
            future.set_exception(self.late)
            return future
        self.events.append(event)
        return None

    async def round(self, *, after: float = 10.0, leads: bool = True) -> list[Event]:
        """Run a round; return what it published."""
        self.now += after
        known = len(self.events)
        await self.queue.open()
        await self.own.round(lambda hook: self.reasons.get(hook.id), leads=leads, delivers=lambda _: leads)
        return self.events[known:]

    def die(self, number: int = 1, source: str = "rate-limiting", outcome: Any = None) -> None:
        event = replace(make_event(), id=f"e{number}", source=source)
        delivery = Delivery(f"e{number}_{A.id}", event, A.id, source, "leased", 9, 1.0, 1.0)
        outcome = outcome or Retry("status", "answered 500 with the data", Answer(500, b"no"), logged="answered 500")
        attempt = Attempt(10, 1.0, 0.1, "retry", "status", None, 500, b"")
        settlement = Settlement(delivery.id, "dead", attempt, reason="exhausted")
        self.own.delivery_dead(A, delivery, outcome, settlement, self.now)


@pytest.fixture
def world() -> World:
    return World(A, LISTENER)


def test_each_has_the_fields_that_the_catalogue_says(world: World) -> None:
    health = EndpointHealth(A.id, 5.0, "gone", 9.0)
    world.own.endpoint_disabled(A, health)
    world.own.endpoint_recovered(health)
    world.die()
    assert [event.event for event in world.events] == ["endpoint.disabled", "endpoint.recovered", "delivery.exhausted"]
    for event in world.events:
        assert undeclared(event) == []
        assert event.unique == unique_fields(event.source, event.event)
    key = world.events[0].data["state_key"]
    about = {"hook": "a", "hook_id": A.id, "reason": "gone", "since": 5.0, "state_key": key}
    assert [event.data for event in world.events[:2]] == [about | {"state": "open"}, about | {"state": "resolved"}]
    assert world.events[2].data["detail"] == "answered 500", "without the event's data"


def test_what_is_reported_twice_is_one_event(world: World) -> None:
    again = World(A, LISTENER)
    again.now += 3
    for one in (world, again):
        one.own.endpoint_disabled(A, EndpointHealth(A.id, 5.0, "gone", 9.0))
        one.own.endpoint_recovered(EndpointHealth(A.id, 5.0, "gone", 9.0))
        one.die()
    assert [event.id for event in again.events] == [event.id for event in world.events]
    assert len({event.id for event in world.events}) == 3


def test_a_delivery_of_such_an_event_leads_to_none(world: World) -> None:
    world.die(source="event-hooks", outcome=Discard("gone", "answered 410"))
    assert world.events == []


async def test_dead_deliveries_are_counted_in_one_event_a_minute(world: World) -> None:
    for number in range(5):
        world.die(number)
    assert [event.data["count"] for event in world.events] == [1]
    assert await world.round() == []
    (event,) = await world.round(after=DEAD_SECONDS)
    assert (event.data["count"], event.data["delivery_id"]) == (4, f"e4_{A.id}")
    assert await world.round(after=DEAD_SECONDS) == []
    world.die(9)
    assert world.events[-1].data["count"] == 1


async def test_a_held_hook_is_reported_once_a_day_where_it_does_not_end_by_itself(world: World) -> None:
    world.now -= world.now % 86_400
    world.reasons = {A.id: "unresolved: no value for secret", LISTENER.id: "breaker_open"}
    assert await world.round() == []
    (event,) = await world.round(after=HELD_SECONDS)
    assert undeclared(event) == []
    assert event.data | {"reason": "unresolved", "detail": "no value for secret", "hook": "a"} == event.data
    assert await world.round(after=3_600) == []
    (tomorrow,) = await world.round(after=86_400)
    assert tomorrow.id != event.id
    world.reasons = {}
    assert await world.round() == []
    world.reasons = {A.id: "invalid: x"}
    assert await world.round() == [], "it has to last"


async def test_a_limit_that_fills_is_reported_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    used = {"pending": 79, "bytes": 0, A.id: 0}

    async def stats() -> Stats:
        depth: Any = {"pending": used["pending"], "leased": 1, "delivered": 0, "dead": 0}
        return Stats(depth, used["bytes"], None, {A.id: used[A.id]})

    monkeypatch.setattr(world.queue, "stats", stats)
    (event,) = await world.round()
    assert event.data == {"limit": "queue_deliveries", "used": 80, "maximum": 100, "hook": None, "hook_id": None}
    assert undeclared(event) == []
    used |= {"pending": 70, A.id: 45}
    (event,) = await world.round()
    assert (event.data["limit"], event.data["hook"]) == ("queue_deliveries_per_hook", "a")
    used["pending"] = 99
    assert await world.round() == [], "it was never drained"
    used["pending"] = 50
    assert await world.round() == []
    used |= {"pending": 90, "bytes": 900}
    assert [event.data["limit"] for event in await world.round(after=3_600)] == ["queue_deliveries", "queue_bytes"]


async def test_only_who_delivers_looks_and_only_for_a_hook_that_hears(world: World) -> None:
    world.reasons = {A.id: "unresolved"}
    for _ in range(3):
        assert await world.round(after=HELD_SECONDS, leads=False) == []
    world.hooks = {A.id: A}
    world.die()
    for _ in range(3):
        assert await world.round(after=HELD_SECONDS) == []


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_event_that_the_queue_refuses_is_offered_again_and_few_are_kept(world: World, at_once: bool) -> None:
    if at_once:
        world.refusal = QueueFull("buffer", "full")
    else:
        world.late = StoreUnavailable("locked")
    with capture_logs() as lines:
        for number in range(PENDING + 2):
            world.own.endpoint_disabled(A, EndpointHealth(A.id, None, "gone", float(number)))
        await asyncio.sleep(0)
    assert [line["event"] for line in lines] == ["own_event_lost"] * 2
    world.refusal = world.late = None
    assert len(await world.round()) == PENDING
    assert await world.round() == []
