"""What is claimed, when, and what is given back."""

import asyncio

import pytest

from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.model.delivery import Delivered, Retry
from kong_eventhooks_plugin.queue.contract import Candidate, Offer
from tests.support.delivery_world import scripted_hook, world
from tests.support.events import make_event

A = scripted_hook("a")
TIMED_OUT = Retry("timeout", "no answer in time", hold=True)


async def test_a_definition_that_becomes_ordered_applies_to_what_waits() -> None:
    async with world(A) as w:
        w.handler.gates["a"] = asyncio.Event()
        ids = await w.offer(A, count=20)
        await w.handler.called(8)
        w.registry.set(scripted_hook("a", config={**A.config, "ordered": True}))
        w.handler.gates["a"].set()
        await w.queue.settled(20)
        assert [job.delivery_id for job in w.handler.jobs[8:]] == ids[8:]


async def test_a_lease_is_as_long_as_the_hook_s_own_time_out_needs() -> None:
    slow = scripted_hook("slow", config={"endpoint": "http://slow:80", "timeout": 120})
    async with world(slow) as w:
        w.handler.gates["slow"] = asyncio.Event()
        [delivery] = await w.offer(slow)
        await w.handler.called(1)
        w.time.advance(119)
        await w.turn()
        assert (await w.queue.get(delivery)).state == "leased"
        w.handler.gates["slow"].set()
        await w.queue.settled(1)
        assert len(w.handler.jobs) == 1


async def test_what_was_claimed_and_not_started_goes_back_when_the_endpoint_is_held() -> None:
    async with world(A, limits=DeliveryLimits(per_hook=1)) as w:
        w.handler.outcomes["a"] = [TIMED_OUT, Delivered()]
        ids = await w.offer(A, count=5)
        await w.queue.settled(1)
        await w.queue.news.until(lambda: len(w.queue.settlements) >= 5)
        states = [(await w.queue.get(delivery)).state for delivery in ids]
        assert states == ["pending"] * 5
        assert [(await w.queue.get(delivery)).attempts for delivery in ids] == [1, 0, 0, 0, 0]
        w.time.advance(60)
        await w.queue.settled(6)


async def test_deliveries_of_a_removed_hook_are_buried_but_not_at_once() -> None:
    async with world(A) as w:
        w.registry.set()
        [delivery] = await w.offer(A)
        w.time.advance(1)
        await w.turn()
        w.time.advance(28)
        await w.turn()
        assert (await w.queue.get(delivery)).state == "pending"
        w.registry.set(A)
        await w.queue.settled(1)
        w.registry.set()
        [delivery] = await w.offer(A)
        w.time.advance(1)
        await w.turn()
        w.time.advance(30)
        await w.turn()
        stored = await w.queue.get(delivery)
        assert (stored.state, stored.reason) == ("dead", "hook_removed")


async def test_a_lane_with_room_gets_new_deliveries_without_a_claim() -> None:
    async with world(A, limits=DeliveryLimits(waiting_alone=24)) as w:
        gate = w.handler.gates["a"] = asyncio.Event()
        ids = await w.offer(A, count=40)
        await w.handler.called(8)
        assert w.queue.claims == []
        states = [(await w.queue.get(each)).state for each in ids]
        assert states == ["leased"] * 32 + ["pending"] * 8, "as many as a claim takes"
        gate.set()
        await w.queue.settled(40)
        assert [job.delivery_id for job in w.handler.jobs] == ids


@pytest.mark.parametrize("why", ["a claim that goes first", "a hook that is held", "no lease to deliver"])
async def test_a_lane_without_room_gets_none(why: str) -> None:
    async with world(A) as w:
        if why == "a claim that goes first":
            w.worker._lanes.lane(A.id).expect_work(w.time())
        elif why == "a hook that is held":
            w.registry.unresolved.add("a")
        else:
            w.worker._leadership._until = 0.0
        assert w.taker.room(A.id).deliveries == 0


async def test_what_was_accepted_while_the_lease_to_deliver_was_lost_is_released() -> None:
    async with world(A) as w:
        await w.queue.offer(Offer(make_event(), (Candidate("nobody", A.source),)))
        [delivery] = await w.queue.claim("nobody", 1, 60)
        w.worker._leadership._until = 0.0
        w.taker.taken(A.id, [delivery], w.time() + 60)
        await w.turn()
        assert (await w.queue.get(delivery.id)).state == "pending"
        assert w.handler.jobs == []


async def test_nothing_is_claimed_where_nothing_is_to_do() -> None:
    async with world(A) as w:
        await w.offer(A)
        await w.queue.settled(1)
        await w.turn()
        claims = len(w.queue.claims)
        for _ in range(30):
            w.time.advance(1)
            await w.turn()
        assert len(w.queue.claims) == claims
