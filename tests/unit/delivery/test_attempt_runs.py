"""How many attempts are under way, and what may start."""

import asyncio

from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.errors import StoreUnavailable
from tests.support.delivery_world import scripted_hook, world

A, B = scripted_hook("a"), scripted_hook("b")


async def test_a_hook_has_eight_in_flight_and_a_hanging_one_delays_no_other() -> None:
    async with world(A, B) as w:
        w.handler.gates["a"] = asyncio.Event()
        await w.offer(A, count=50)
        await w.handler.called(8, "a")
        await w.offer(B, count=20)
        await w.queue.settled(20)
        assert (w.handler.most["a"], len(w.handler.jobs_of("a"))) == (8, 8)
        w.handler.gates["a"].set()
        await w.queue.settled(70)
        assert w.handler.most["a"] == 8


async def test_many_hanging_hooks_leave_room_for_a_healthy_one() -> None:
    hanging = [scripted_hook(f"hanging-{number}") for number in range(40)]
    async with world(A, *hanging) as w:
        for hook in hanging:
            w.handler.gates[hook.name] = asyncio.Event()
            await w.offer(hook, count=10)
        await w.turn(500)
        assert len(w.handler.jobs) < 256
        await w.offer(A, count=20)
        await w.queue.settled(20)
        assert {settlement.state for settlement in w.queue.attempted} == {"delivered"}


async def test_a_hook_has_as_many_in_flight_as_it_asks_for() -> None:
    one = scripted_hook("one", config={"endpoint": "http://one:80", "concurrency": 1})
    many = scripted_hook("many", config={"endpoint": "http://many:80", "concurrency": 20})
    async with world(one, many) as w:
        for hook, most in ((one, 1), (many, 20)):
            w.handler.gates[hook.name] = asyncio.Event()
            await w.offer(hook, count=30)
            await w.handler.called(most, hook.name)
            await w.turn()
            assert w.handler.most[hook.name] == most
            w.handler.gates[hook.name].set()
        await w.queue.settled(60)
        assert w.handler.most == {"one": 1, "many": 20}


async def test_while_outcomes_cannot_be_written_nothing_new_is_started() -> None:
    async with world(A, limits=DeliveryLimits(unsettled=3)) as w:
        w.handler.gates["a"] = asyncio.Event()
        await w.offer(A, count=20)
        await w.handler.called(8)
        w.queue.failing = StoreUnavailable("disk full")
        w.handler.gates["a"].set()
        await w.turn()
        assert len(w.handler.jobs) <= 11
        w.queue.failing = None
        w.time.advance(1)
        await w.queue.settled(20)


async def test_a_delivery_that_waited_until_its_lease_is_nearly_over_is_claimed_anew_first() -> None:
    async with world(A, limits=DeliveryLimits(per_hook=1, attempt=40.0)) as w:
        w.handler.gates["a"] = asyncio.Event()
        ids = await w.offer(A, count=2)
        await w.handler.called(1)
        # The lease is three longest attempts of 45 s; with 44 s left another attempt could outlive it.
        for _ in range(91):
            w.time.advance(1)
            await w.turn(5)
        w.handler.gates["a"].set()
        await w.queue.settled(2)
        returned = [each for each in w.queue.settlements if each.attempt is None]
        assert [each.delivery_id for each in returned] == [ids[1]]
        assert [(await w.queue.get(delivery)).state for delivery in ids] == ["delivered"] * 2
        assert len(w.handler.jobs) == 2
