"""Lists, counts and sizes."""

import pytest

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.model.delivery import State
from kong_eventhooks_plugin.queue import limits as queue_limits
from kong_eventhooks_plugin.queue.contract import Candidate, DeliveryFilter, Queue
from tests.support.clock import START, FakeClock
from tests.support.queue import dead, deliver, delivered, event, held_back, id_of, offer, postponed

EVERYTHING = DeliveryFilter()


async def listed(queue: Queue, where: DeliveryFilter = EVERYTHING) -> list[str]:
    return [delivery.id for delivery in (await queue.page(where, 1_000)).deliveries]


async def test_an_empty_queue(queue: Queue) -> None:
    page = await queue.page(EVERYTHING, 10)
    assert (page.deliveries, page.next_offset) == ((), None)
    assert await queue.work() == []
    assert await held_back(queue) == {}
    stats = await queue.stats()
    assert stats.depth == {"pending": 0, "leased": 0, "delivered": 0, "dead": 0}
    assert (stats.unsettled_bytes, stats.oldest_pending, stats.per_hook) == (0, None, {})


async def test_newest_first(queue: Queue) -> None:
    for key in range(3):
        await queue.offer(offer(key, "a", "b"))
    assert await listed(queue) == [id_of(key, hook) for key in (2, 1, 0) for hook in ("b", "a")]
    assert (await queue.page(EVERYTHING, 10)).deliveries[0] == await queue.get(id_of(2, "b"))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7])
async def test_pages_join(queue: Queue, size: int) -> None:
    for key in range(3):
        await queue.offer(offer(key, "a", "b"))
    seen, offset = [], None
    while True:
        page = await queue.page(EVERYTHING, size, offset)
        assert len(page.deliveries) <= size
        seen += [delivery.id for delivery in page.deliveries]
        offset = page.next_offset
        if offset is None:
            break
        await queue.offer(offer(f"new {len(seen)}", "a"))
    assert seen == [id_of(key, hook) for key in (2, 1, 0) for hook in ("b", "a")]


@pytest.mark.parametrize("state", [None, "pending"])
async def test_large_ones_end_a_page(queue: Queue, state: State | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_limits, "PAGE_BYTES", 250)
    for key in range(5):
        await queue.offer(offer(key, "a", text="x" * (1_000 if key == 1 else 100)))
    pages, offset = [], None
    while not pages or offset is not None:
        page = await queue.page(DeliveryFilter(state=state), 100, offset)
        pages.append([one.event.data["key"] for one in page.deliveries])
        offset = page.next_offset
    assert pages == [["4", "3", "2"], ["1"], ["0"]]


async def test_what_is_asked_for(queue: Queue, clock: FakeClock) -> None:
    for key in range(6):
        await queue.offer(offer(key, Candidate("h", "named"), "g"))
        clock.advance(1)
    await queue.claim("h", 4, 60)
    await queue.settle([delivered(id_of(0)), dead(id_of(1)), postponed(id_of(2), clock.now)])
    assert await listed(queue, DeliveryFilter(hook_id="g")) == [id_of(key, "g") for key in (5, 4, 3, 2, 1, 0)]
    assert await listed(queue, DeliveryFilter(source="named")) == [id_of(key) for key in (5, 4, 3, 2, 1, 0)]
    assert await listed(queue, DeliveryFilter(state="delivered")) == [id_of(0)]
    assert await listed(queue, DeliveryFilter(state="dead")) == [id_of(1)]
    assert await listed(queue, DeliveryFilter(state="leased")) == [id_of(3)]
    assert await listed(queue, DeliveryFilter(state="pending", hook_id="h")) == [id_of(key) for key in (5, 4, 2)]
    whole = event(3).id
    assert await listed(queue, DeliveryFilter(event_prefix=whole)) == [id_of(3, "g"), id_of(3)]
    assert await listed(queue, DeliveryFilter(event_prefix=whole, state="leased")) == [id_of(3)]
    assert len(await listed(queue, DeliveryFilter(event_prefix=whole[:3]))) == 12
    assert await listed(queue, DeliveryFilter(event_prefix=f"{whole}x")) == []
    last = {one.id: (one.last_status, one.last_error) for one in (await queue.page(EVERYTHING, 100)).deliveries}
    assert [last[id_of(key)] for key in (0, 1, 4)] == [(200, None), (503, "status"), (None, None)]
    between = DeliveryFilter(since=START + 1, until=START + 3, hook_id="h")
    assert await listed(queue, between) == [id_of(2), id_of(1)]
    assert await listed(queue, DeliveryFilter(since=START + 2, state="pending", source="named")) == [
        id_of(key) for key in (5, 4, 2)
    ]
    assert await listed(queue, DeliveryFilter(hook_id="unheard of")) == []
    clock.advance(60)
    assert await listed(queue, DeliveryFilter(state="leased")) == []
    assert id_of(3) in await listed(queue, DeliveryFilter(state="pending"))


async def test_pages_of_a_state_join(queue: Queue) -> None:
    for key in range(5):
        await queue.offer(offer(key, "a", "b"))
    first = await queue.page(DeliveryFilter(state="pending"), 3)
    second = await queue.page(DeliveryFilter(state="pending"), 100, first.next_offset)
    ids = [delivery.id for delivery in (*first.deliveries, *second.deliveries)]
    assert ids == [id_of(key, hook) for key in (4, 3, 2, 1, 0) for hook in ("b", "a")]


@pytest.mark.parametrize("size", [0, -1, 1_001])
async def test_a_page_of_another_size(queue: Queue, size: int) -> None:
    with pytest.raises(QueueError):
        await queue.page(EVERYTHING, size)


@pytest.mark.parametrize("offset", ["", "x", "1", "1.", ".1", "1.x", "-1.1", "1.1.1"])
async def test_an_offset_that_is_none(queue: Queue, offset: str) -> None:
    with pytest.raises(QueueError):
        await queue.page(EVERYTHING, 1, offset)


async def test_stats(queue: Queue, clock: FakeClock) -> None:
    for key in range(5):
        await queue.offer(offer(key, "h", "g"))
        clock.advance(1)
    await queue.claim("h", 4, 60)
    await queue.settle([delivered(id_of(0)), dead(id_of(1)), postponed(id_of(2), clock.now)])
    stats = await queue.stats()
    assert stats.depth == {"pending": 7, "leased": 1, "delivered": 1, "dead": 1}
    assert stats.per_hook == {"h": 3, "g": 5}
    assert stats.unsettled_bytes == 8 * len('{"key":"0"}')
    assert stats.oldest_pending == START
    clock.advance(60)
    assert (await queue.stats()).depth["leased"] == 0
    await queue.fail_pending("g", "gone")
    assert (await queue.stats()).oldest_pending == START + 2


async def test_the_oldest_of_all_may_be_a_replayed_one(queue: Queue, clock: FakeClock) -> None:
    await deliver(queue, 1)
    clock.advance(10)
    await queue.offer(offer(2))
    assert (await queue.stats()).oldest_pending == START + 10
    await queue.replay(id_of(1))
    assert (await queue.stats()).oldest_pending == START
