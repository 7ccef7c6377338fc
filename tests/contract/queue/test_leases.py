"""Claiming and settling."""

import asyncio

import pytest

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.queue.contract import Candidate, Queue, Settlement
from tests.support.clock import START, FakeClock
from tests.support.queue import SOURCE, Shelf, attempt, dead, delivered, event, id_of, offer, postponed, settled_soon


async def claimed(queue: Queue, limit: int = 10, hook: str = "h") -> list[str]:
    return [delivery.id for delivery in await queue.claim(hook, limit, 60)]


async def test_those_due_first_come_first(queue: Queue, clock: FakeClock) -> None:
    for key in range(4):
        await queue.offer(offer(key))
    ids = await claimed(queue)
    assert ids == [id_of(key) for key in range(4)]
    due = [START + 30, START + 10, START + 20, START + 10]
    await queue.settle([postponed(one, at) for one, at in zip(ids, due, strict=True)])
    await queue.offer(offer("new"))
    clock.advance(25)
    assert await claimed(queue) == [id_of("new"), id_of(1), id_of(3), id_of(2)]
    clock.advance(5)
    assert await claimed(queue) == [id_of(0)]


async def test_new_deliveries_are_leased_where_there_is_room(queue: Queue, clock: FakeClock) -> None:
    shelf, woken = Shelf(h=2), []
    queue.lease_to(shelf)
    queue.on_work(woken.append)
    await asyncio.gather(*(queue.offer(offer(key, "h", "other", more=None)) for key in range(3)))
    ((hook_id, given, until),) = shelf.given
    assert (hook_id, [each.id for each in given], until) == ("h", [id_of(0), id_of(1)], START + 60)
    assert given[0] == await queue.get(id_of(0))
    assert given[0].state == "leased"
    assert set(woken) == {"h", "other"}, "for those that are not leased"
    assert await claimed(queue) == [id_of(2)]
    assert await claimed(queue, hook="other") == [id_of(key, "other") for key in range(3)]
    await queue.settle([delivered(id_of(0))])
    clock.advance(60)
    assert await claimed(queue) == [id_of(1), id_of(2)], "a lease ends"
    assert (await queue.stats()).per_hook == {"h": 2, "other": 3}


async def test_an_event_that_comes_again_or_is_held_back_is_not_leased(queue: Queue) -> None:
    await queue.offer(offer(1))
    shelf = Shelf(h=9)
    queue.lease_to(shelf)
    refused = Candidate("h", SOURCE, refused="disabled")
    await asyncio.gather(queue.offer(offer(1)), queue.offer(offer(2, refused)))
    assert [given for _, given, _ in shelf.given if given] == []


async def test_a_settlement_that_can_wait_is_written_all_the_same(queue: Queue) -> None:
    for key in range(3):
        await queue.offer(offer(key))
    ids = await claimed(queue)
    waiting = [delivered(ids[0])]
    settling = settled_soon(queue, lambda: [*waiting])
    await asyncio.sleep(0)
    await queue.offer(offer("next"))
    assert await settling == 1
    waiting = [delivered(ids[1]), delivered(ids[2])]
    assert await settled_soon(queue, lambda: waiting) == 2, "without anything that it could share a transaction with"
    assert (await queue.stats()).depth["delivered"] == 3


async def test_what_is_not_due_is_not_claimed(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1))
    await claimed(queue)
    await queue.settle([postponed(id_of(1), START + 10)])
    clock.advance(9.5)
    assert await claimed(queue) == []
    clock.advance(0.5)
    assert await claimed(queue) == [id_of(1)]


async def test_a_claim_takes_what_it_asked_for_of_its_hook(queue: Queue) -> None:
    for key in range(3):
        await queue.offer(offer(key, "h", "other"))
    assert await claimed(queue, 2) == [id_of(0), id_of(1)]
    assert await claimed(queue, 2) == [id_of(2)]
    assert await claimed(queue, 2, "other") == [id_of(0, "other"), id_of(1, "other")]
    assert await claimed(queue, 0, "other") == []
    assert await claimed(queue, 2, "unheard of") == []


async def test_a_claimed_delivery(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1))
    clock.advance(5)
    (delivery,) = await queue.claim("h", 1, 60)
    assert delivery == await queue.get(id_of(1))
    assert (delivery.state, delivery.event, delivery.due_at, delivery.created_at) == ("leased", event(1), START, START)


async def test_a_lease_that_ran_out_is_claimed_again(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1))
    await claimed(queue)
    clock.advance(59.5)
    assert await claimed(queue) == []
    assert (await queue.get(id_of(1))).state == "leased"
    clock.advance(0.5)
    assert (await queue.get(id_of(1))).state == "pending"
    assert await claimed(queue) == [id_of(1)]


async def test_delivered(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1))
    await claimed(queue)
    clock.advance(1)
    await queue.settle([delivered(id_of(1))])
    delivery = await queue.get(id_of(1))
    assert (delivery.state, delivery.attempts, delivery.settled_at, delivery.reason) == (
        "delivered",
        1,
        START + 1,
        None,
    )
    assert await queue.attempts(id_of(1)) == [attempt(1, "delivered")]
    clock.advance(1e9)
    assert await claimed(queue) == []


async def test_dead(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1))
    await claimed(queue)
    clock.advance(1)
    await queue.settle([dead(id_of(1))])
    delivery = await queue.get(id_of(1))
    assert (delivery.state, delivery.attempts, delivery.settled_at, delivery.reason) == (
        "dead",
        1,
        START + 1,
        "410 Gone",
    )
    assert await queue.attempts(id_of(1)) == [attempt(1, "discard")]


async def test_every_attempt_is_kept(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1))
    for number in (1, 2, 3):
        await claimed(queue)
        await queue.settle([postponed(id_of(1), clock.now + 5, number)])
        delivery = await queue.get(id_of(1))
        assert (delivery.state, delivery.attempts, delivery.due_at) == ("pending", number, clock.now + 5)
        clock.advance(5)
    await claimed(queue)
    await queue.settle([delivered(id_of(1), 4, status=None, body=b"")])
    kept = await queue.attempts(id_of(1))
    assert kept == [attempt(1), attempt(2), attempt(3), attempt(4, "delivered", status=None, body=b"")]


async def test_nothing_tried_nothing_recorded(queue: Queue) -> None:
    await queue.offer(offer(1))
    await claimed(queue)
    await queue.settle([Settlement(id_of(1), "pending", None, due_at=START)])
    assert (await queue.get(id_of(1))).attempts == 0
    assert await claimed(queue) == [id_of(1)]
    await queue.settle([Settlement(id_of(1), "dead", None, reason="the hook is gone")])
    assert (await queue.get(id_of(1))).reason == "the hook is gone"
    assert await queue.attempts(id_of(1)) == []


async def test_several_at_once(queue: Queue) -> None:
    for key in range(3):
        await queue.offer(offer(key))
    await claimed(queue)
    await queue.settle([delivered(id_of(0)), dead(id_of(1)), postponed(id_of(2), START + 5)])
    assert [(await queue.get(id_of(key))).state for key in range(3)] == ["delivered", "dead", "pending"]


async def test_what_is_not_leased_is_left_as_it_is(queue: Queue) -> None:
    await queue.offer(offer(1))
    before = await queue.get(id_of(1))
    await queue.settle([delivered(id_of(1)), delivered(id_of("unknown")), delivered("nonsense")])
    assert await queue.get(id_of(1)) == before
    assert await queue.attempts(id_of(1)) == []


async def test_a_delivery_settles_once(queue: Queue) -> None:
    await queue.offer(offer(1))
    await claimed(queue)
    await queue.settle([delivered(id_of(1)), dead(id_of(1))])
    await queue.settle([postponed(id_of(1), START)])
    delivery = await queue.get(id_of(1))
    assert (delivery.state, delivery.attempts) == ("delivered", 1)
    assert len(await queue.attempts(id_of(1))) == 1
    assert (await queue.stats()).depth["delivered"] == 1


async def test_an_attempt_of_a_lease_before_changes_nothing(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1))
    await claimed(queue)
    clock.advance(60)
    await claimed(queue)
    await queue.settle([postponed(id_of(1), clock.now)])
    await claimed(queue)
    await queue.settle([delivered(id_of(1), 1)])
    delivery = await queue.get(id_of(1))
    assert (delivery.state, delivery.attempts) == ("leased", 1)
    await queue.settle([delivered(id_of(1), 2)])
    assert (await queue.get(id_of(1))).state == "delivered"


async def test_a_lease_that_ran_out_and_nobody_took_can_be_settled(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1))
    await claimed(queue)
    clock.advance(61)
    await queue.settle([delivered(id_of(1))])
    assert (await queue.get(id_of(1))).state == "delivered"


async def test_a_settlement_makes_no_lease(queue: Queue) -> None:
    await queue.offer(offer(1))
    await claimed(queue)
    with pytest.raises(QueueError):
        await queue.settle([delivered(id_of(1)), Settlement(id_of(1), "leased", None)])
    assert (await queue.get(id_of(1))).attempts == 0
