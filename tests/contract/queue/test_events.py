"""Events with what they led to, and the replay of many deliveries."""

import pytest

from kong_eventhooks_plugin.errors import QueueError, UnknownEvent
from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.queue import limits as queue_limits
from kong_eventhooks_plugin.queue.contract import Accepted, Candidate, DeliveryFilter, EventFilter, Queue, QueueLimits
from tests.support.clock import START, FakeClock
from tests.support.queue import NAME, SOURCE, dead, delivered, event, id_of, offer
from tests.support.queue_engines import Store

EVERYTHING = EventFilter()
SNOOZED = Candidate("s", SOURCE, SuppressionRule(on_change=False, snooze=60))


async def listed(queue: Queue, where: EventFilter = EVERYTHING) -> list[str]:
    """The keys of events, in the order of the list."""
    return [one.event.data["key"] for one in (await queue.events(where, 1_000)).events]


async def test_no_event(queue: Queue) -> None:
    page = await queue.events(EVERYTHING, 10)
    assert (page.events, page.next_offset) == ((), None)


async def test_an_event_with_what_it_led_to(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1, SNOOZED))
    clock.advance(1)
    await queue.offer(offer(2, "a", SNOOZED, Candidate("off", SOURCE, refused="disabled"), "b"))
    await queue.claim("a", 1, 60)
    newest, oldest = (await queue.events(EVERYTHING, 10)).events
    assert newest == Accepted(event(2), START + 1, {"a": "leased", "b": "pending"}, {"s": "snoozed", "off": "disabled"})
    assert oldest == Accepted(event(1), START, {"s": "pending"}, {})


async def test_those_on_which_a_hook_was_held_back(queue: Queue) -> None:
    for key in (1, 2, 3):
        await queue.offer(offer(key, SNOOZED if key < 3 else "a"))
    assert await listed(queue, EventFilter(held_back=True)) == ["2"]
    assert await listed(queue, EventFilter(held_back=True, hook_id="a")) == []


async def test_one_event(queue: Queue) -> None:
    await queue.offer(offer(1, "a"))
    assert await queue.event(event(1).id) == event(1)
    with pytest.raises(UnknownEvent, match="there is no event nobody"):
        await queue.event("nobody")


async def test_its_deliveries_as_they_are_now(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1, "a", "b", "c"))
    for hook in "abc":
        await queue.claim(hook, 1, 60)
    await queue.settle([delivered(id_of(1, "a")), dead(id_of(1, "b"))])
    assert (await queue.events(EVERYTHING, 1)).events[0].fired == {"a": "delivered", "b": "dead", "c": "leased"}
    clock.advance(61)
    assert (await queue.events(EVERYTHING, 1)).events[0].fired["c"] == "pending", "a lease that ran out is none"


async def test_an_event_told_twice_is_listed_once(queue: Queue) -> None:
    await queue.offer(offer(1, "a"))
    await queue.offer(offer(1, "a", "b"))
    assert [set(one.fired) for one in (await queue.events(EVERYTHING, 10)).events] == [{"a"}]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
async def test_pages_join(queue: Queue, size: int) -> None:
    for key in range(5):
        await queue.offer(offer(key, "a", "b"))
    seen, offset = [], None
    while True:
        page = await queue.events(EVERYTHING, size, offset)
        assert len(page.events) <= size
        seen += [one.event.data["key"] for one in page.events]
        offset = page.next_offset
        if offset is None:
            break
        await queue.offer(offer(f"new {len(seen)}", "a"))
    assert seen == ["4", "3", "2", "1", "0"]


async def test_large_ones_end_a_page(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_limits, "PAGE_BYTES", 250)
    for key in range(5):
        await queue.offer(offer(key, "a", text="x" * (1_000 if key == 1 else 100)))
    pages, offset = [], None
    while not pages or offset is not None:
        page = await queue.events(EVERYTHING, 100, offset)
        pages.append([one.event.data["key"] for one in page.events])
        offset = page.next_offset
    assert pages == [["4", "3", "2"], ["1"], ["0"]]


async def test_what_is_asked_for(queue: Queue, clock: FakeClock) -> None:
    for key in range(5):
        await queue.offer(offer(key, "even" if key % 2 == 0 else "odd", SNOOZED, name=NAME if key < 3 else "other"))
        clock.advance(10)
    assert await listed(queue, EventFilter(event="other")) == ["4", "3"]
    assert await listed(queue, EventFilter(source=SOURCE)) == ["4", "3", "2", "1", "0"]
    assert await listed(queue, EventFilter(source="nowhere")) == []
    assert await listed(queue, EventFilter(hook_id="even")) == ["4", "2", "0"]
    assert await listed(queue, EventFilter(hook_id="s")) == ["4", "3", "2", "1", "0"], "held back counts too"
    assert await listed(queue, EventFilter(hook_id="nobody")) == []
    assert await listed(queue, EventFilter(since=START + 10, until=START + 30)) == ["2", "1"]
    assert await listed(queue, EventFilter(hook_id="odd", event="other")) == ["3"]


async def test_those_after_an_event(queue: Queue) -> None:
    for key in range(4):
        await queue.offer(offer(key))
    assert await listed(queue, EventFilter(after=event(1).id)) == ["3", "2"]
    assert await listed(queue, EventFilter(after=event(3).id)) == []
    assert await listed(queue, EventFilter(after="unheard-of")) == []


@pytest.mark.parametrize("size", [0, 1_001])
async def test_a_page_of_another_size(queue: Queue, size: int) -> None:
    with pytest.raises(QueueError):
        await queue.events(EVERYTHING, size)


@pytest.mark.parametrize("offset", ["", "x", "1.2", "-1", "²", "9" * 41])
async def test_an_offset_that_is_none(queue: Queue, offset: str) -> None:
    with pytest.raises(QueueError):
        await queue.events(EVERYTHING, 10, offset)


async def settled(queue: Queue, clock: FakeClock) -> None:
    """Deliveries 0 to 5 of hook h a second apart: the even ones dead, the odd ones delivered; 6 is pending."""
    for key in range(7):
        await queue.offer(offer(key, "h", "other"))
        clock.advance(1)
    await queue.claim("h", 6, 60)
    await queue.settle([dead(id_of(key)) if key % 2 == 0 else delivered(id_of(key)) for key in range(6)])


async def states(queue: Queue, hook: str = "h") -> str:
    """The first letter of each delivery's state, oldest first."""
    page = await queue.page(DeliveryFilter(hook_id=hook), 100)
    return "".join("x" if one.state == "dead" else one.state[0] for one in reversed(page.deliveries))


async def test_replay_the_dead_of_a_hook(queue: Queue, clock: FakeClock) -> None:
    await settled(queue, clock)
    woken: list[str] = []
    queue.on_work(woken.append)
    replayed = await queue.replay_all(DeliveryFilter(hook_id="h", state="dead"))
    assert (replayed.count, replayed.refused, replayed.more) == (3, None, False)
    assert await states(queue) == "pdpdpdp"
    assert await states(queue, "other") == "ppppppp"
    assert set(woken) == {"h"}
    assert next(one.id for one in await queue.claim("h", 9, 60)) == id_of(6), "it has waited longest"


async def test_replay_a_range_of_time(queue: Queue, clock: FakeClock) -> None:
    await settled(queue, clock)
    where = DeliveryFilter(hook_id="h", since=START + 1, until=START + 4)
    assert (await queue.replay_all(where)).count == 3
    assert await states(queue) == "xpppxdp"


async def test_replay_nothing(queue: Queue, clock: FakeClock) -> None:
    await settled(queue, clock)
    assert (await queue.replay_all(DeliveryFilter(hook_id="nobody"))).count == 0
    assert (await queue.replay_all(DeliveryFilter(hook_id="other"))).count == 0
    assert (await queue.replay_all(DeliveryFilter(state="pending"))).count == 0
    assert await states(queue) == "xdxdxdp"


async def test_a_replay_stops_at_a_limit(store: Store, clock: FakeClock) -> None:
    queue = await store.open(QueueLimits(deliveries_per_hook=3))
    for key in range(4):
        await queue.offer(offer(key))
        await queue.claim("h", 1, 60)
        await queue.settle([dead(id_of(key))])
    await queue.offer(offer(4))
    replayed = await queue.replay_all(DeliveryFilter(hook_id="h", state="dead"))
    assert (replayed.count, replayed.refused, replayed.more) == (2, "hook_queue_full", True)
    assert await states(queue) == "ppxxp"


async def test_a_replay_of_very_many(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = [f"kong_eventhooks_plugin.queue.{name}.engine" for name in ("sqlite", "postgresql")]
    for module in ("tests.support.memory_queue", *engines):
        monkeypatch.setattr(f"{module}.REPLAYED_AT_ONCE", 7)
    for module in engines:
        monkeypatch.setattr(f"{module}.REPLAYED_TOGETHER", 3)
    assert queue_limits.REPLAYED_AT_ONCE == 100_000
    for key in range(9):
        await queue.offer(offer(key))
    await queue.settle([dead(one.id) for one in await queue.claim("h", 9, 60)])
    first = await queue.replay_all(DeliveryFilter(hook_id="h", state="dead"))
    assert (first.count, first.refused, first.more) == (7, None, True)
    assert await states(queue) == "pppppppxx"
    assert (await queue.replay_all(DeliveryFilter(hook_id="h", state="dead"))).count == 2
