"""Offers: receipts, duplicates, what cannot be kept, how many may wait."""

import asyncio

import pytest
from msgspec.structs import replace

from kong_eventhooks_plugin.errors import QueueError, QueueFull, StoreUnavailable, UnknownDelivery
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.contract import Candidate, DeliveryFilter, Offer, Queue, QueueLimits
from tests.support.clock import START
from tests.support.queue import SOURCE, event, id_of, offer
from tests.support.queue_engines import Store


async def test_a_receipt_says_what_fired_and_what_was_held_back(queue: Queue) -> None:
    receipt = await queue.offer(offer(1, "a", Candidate("b", SOURCE, refused="disabled"), "c"))
    assert receipt.event_id == event(1).id
    assert not receipt.duplicate
    assert receipt.fired == ("a", "c")
    assert receipt.held_back == {"b": "disabled"}


async def test_a_delivery_is_what_was_offered(queue: Queue) -> None:
    await queue.offer(Offer(event(1, umlaut="grüße", nested={"list": [1, None, 2.5]}), (Candidate("h", "other-name"),)))
    delivery = await queue.get(id_of(1))
    assert delivery.event == event(1, umlaut="grüße", nested={"list": [1, None, 2.5]})
    assert (delivery.hook_id, delivery.source, delivery.state, delivery.attempts) == ("h", "other-name", "pending", 0)
    assert (delivery.created_at, delivery.due_at, delivery.settled_at, delivery.reason) == (START, START, None, None)


async def test_an_event_from_nowhere_comes_back_as_it_is(queue: Queue) -> None:
    plain = Event(id="e-1", source="crud", event="consumers", data={}, time=1.0)
    await queue.offer(Offer(plain, (Candidate("h", "crud"),)))
    assert (await queue.get("e-1_h")).event == plain


async def test_ids_may_hold_underscores(queue: Queue) -> None:
    await queue.offer(Offer(Event(id="a_b", source="s", event="e", data={}, time=1.0), (Candidate("c_d", "s"),)))
    assert (await queue.get("a_b_c_d")).hook_id == "c_d"


async def test_an_event_told_twice_is_one(queue: Queue) -> None:
    await queue.offer(offer(1, "a"))
    again = await queue.offer(offer(1, "a", "b"))
    assert again.duplicate
    assert (again.fired, dict(again.held_back)) == ((), {})
    assert len((await queue.page(DeliveryFilter(), 10)).deliveries) == 1


async def test_an_event_told_twice_at_once_is_one(queue: Queue) -> None:
    first, second, other = await asyncio.gather(*(queue.offer(offer(key)) for key in (1, 1, 2)))
    assert [first.duplicate, second.duplicate, other.duplicate] == [False, True, False]
    assert len((await queue.page(DeliveryFilter(), 10)).deliveries) == 2


async def test_an_event_that_nothing_fired_for_is_known_all_the_same(queue: Queue) -> None:
    await queue.offer(Offer(event(1), ()))
    assert (await queue.offer(offer(1))).duplicate


async def test_a_hook_named_first_elsewhere_gets_its_delivery(queue: Queue) -> None:
    for key in range(5):
        await queue.offer(offer(key, f"hook-{key}", "h"))
    assert [work.hook_id for work in await queue.work()] == ["h", *(f"hook-{key}" for key in range(5))]


async def test_what_cannot_be_kept_harms_no_other(queue: Queue) -> None:
    bad = Offer(event("bad", thing=object()), (Candidate("h", SOURCE),))
    worse = Offer(event("worse"), (Candidate("h", "\ud800"), Candidate("h2", SOURCE)))
    twice = offer("twice", "h", "h")
    futures = [queue.offer(one) for one in (offer(1), bad, offer(2), worse, offer(3), twice)]
    done = await asyncio.gather(*futures, return_exceptions=True)
    assert [getattr(one, "fired", None) for one in (done[0], done[2], done[4])] == [("h",)] * 3
    assert isinstance(done[1], QueueError)
    assert not isinstance(done[1], StoreUnavailable)
    assert (await queue.stats()).per_hook["h"] >= 3
    assert (await queue.offer(offer(4))).fired == ("h",)


@pytest.mark.parametrize("field", ["id", "source", "event"])
async def test_no_engine_takes_a_nul_in_a_name(queue: Queue, field: str) -> None:
    bad = Offer(replace(event("bad"), **{field: "a\0b"}), (Candidate("h", SOURCE),))
    good = queue.offer(offer(1))
    with pytest.raises(QueueError, match="cannot be kept: its name has a NUL"):
        await queue.offer(bad)
    assert (await good).fired == ("h",)
    await queue.offer(Offer(event(2, text="a\0b"), (Candidate("h", SOURCE),)))
    assert (await queue.get(id_of(2))).event.data["text"] == "a\0b"


async def test_only_so_many_offers_wait(store: Store) -> None:
    queue = await store.open(QueueLimits(waiting=3))
    waiting = [queue.offer(offer(key)) for key in range(3)]
    with pytest.raises(QueueFull) as refused:
        queue.offer(offer("one more"))
    assert refused.value.reason == "buffer"
    assert [receipt.fired for receipt in await asyncio.gather(*waiting)] == [("h",)] * 3
    assert (await queue.offer(offer("one more"))).fired == ("h",)


async def test_many_offers_at_once_are_all_taken(queue: Queue) -> None:
    receipts = await asyncio.gather(*(queue.offer(offer(key, "a", "b")) for key in range(700)))
    assert all(receipt.fired == ("a", "b") for receipt in receipts)
    assert (await queue.stats()).per_hook == {"a": 700, "b": 700}


async def test_one_who_stops_waiting_stops_nobody(queue: Queue) -> None:
    impatient, patient = queue.offer(offer(1)), queue.offer(offer(2))
    impatient.cancel()
    assert (await patient).fired == ("h",)
    assert (await queue.get(id_of(1))).state == "pending"


async def test_closing_commits_what_waits(queue: Queue) -> None:
    waiting = queue.offer(offer(1))
    await queue.close()
    assert (await waiting).fired == ("h",)


async def test_a_closed_queue_takes_nothing(queue: Queue) -> None:
    await queue.close()
    with pytest.raises(StoreUnavailable):
        queue.offer(offer(1))
    with pytest.raises(StoreUnavailable):
        await queue.claim("h", 1, 60)
    with pytest.raises(StoreUnavailable):
        await queue.stats()


async def test_an_unknown_delivery(queue: Queue) -> None:
    await queue.offer(offer(1))
    for unknown in (id_of(2), id_of(1, "other"), "", "_", "x"):
        with pytest.raises(UnknownDelivery):
            await queue.get(unknown)
        with pytest.raises(UnknownDelivery):
            await queue.attempts(unknown)
        with pytest.raises(UnknownDelivery):
            await queue.replay(unknown)
