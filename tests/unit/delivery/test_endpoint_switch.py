"""Hooks that are switched off for their endpoints, and on again."""

import asyncio

import pytest
import structlog

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Discard, Retry
from kong_eventhooks_plugin.queue.contract import EndpointHealth
from tests.support.delivery_time import FakeTime
from tests.support.delivery_world import scripted_hook, world

A, B = scripted_hook("a"), scripted_hook("b")
FAILED = Retry("status", "answered 500", Answer(500, b"why"))


async def test_a_410_switches_the_hook_off_and_its_deliveries_stay_pending() -> None:
    async with world(A, B) as w:
        w.handler.outcomes["a"] = [Discard("gone", "answered 410", Answer(410), disable=True)]
        [first] = await w.offer(A)
        await w.queue.settled(1)
        [second] = await w.offer(A)
        w.time.advance(7 * 86_400)
        await w.turn()
        assert (await w.queue.get(first)).state == "dead"
        assert (await w.queue.get(second)).state == "pending"
        assert w.held() == {A.id: "endpoint_gone"}
        assert await w.queue.endpoints() == [EndpointHealth(A.id, None, "gone", w.time() - 7 * 86_400)]
        w.handler.outcomes["a"] = [Delivered()]
        with structlog.testing.capture_logs() as logs:
            assert await w.worker.enable(A.id)
            assert await w.queue.endpoints() == [EndpointHealth(A.id)]
            assert not await w.worker.enable(A.id)
            assert not await w.worker.enable("of nobody")
        assert [each["hook"] for each in logs if each["event"] == "hook_enabled"] == ["a"]
        await w.queue.settled(2)
        assert (await w.queue.get(second)).state == "delivered"


async def test_of_many_410s_at_once_one_is_told_and_how_to_go_on() -> None:
    async with world(A) as w:
        w.handler.outcomes["a"] = [Discard("gone", "answered 410", disable=True)]
        w.handler.gates["a"] = asyncio.Event()
        await w.offer(A, count=8)
        await w.handler.called(8)
        with structlog.testing.capture_logs() as logs:
            w.handler.gates["a"].set()
            await w.queue.settled(8)
        [line] = [each for each in logs if each["event"] == "hook_disabled"]
        assert (line["hook"], line["reason"]) == ("a", "gone")
        assert "kong-event-hooks hooks test a" in line["hint"]


async def test_a_process_that_waits_can_enable_a_hook_for_the_one_that_delivers() -> None:
    time = FakeTime()
    async with world(A, time=time) as one, world(A, time=time, queue=one.queue, holder="two") as two:
        one.handler.outcomes["a"] = [Discard("gone", "answered 410", disable=True), Delivered()]
        await one.offer(A)
        await one.queue.settled(1)
        await one.turn()
        await one.offer(A)
        await one.turn()
        assert len(one.queue.attempted) == 1
        assert await two.worker.enable(A.id)
        for _ in range(20):
            time.advance(1)
            await one.turn()
        await one.queue.settled(2)
        assert (len(one.handler.jobs), two.handler.jobs) == (2, [])


async def test_what_was_enabled_once_and_switched_off_since_stays_off_for_the_next_that_delivers() -> None:
    time = FakeTime()
    async with world(A, time=time) as one, world(A, time=time, queue=one.queue, holder="two") as two:
        assert not await two.worker.enable(A.id), "a test of it arrived"
        one.handler.outcomes["a"] = [Discard("gone", "answered 410", disable=True)]
        await one.offer(A)
        await one.queue.settled(1)
        await one.turn()
        await one.worker.drain(1)
        await one.offer(A)
        for _ in range(20):
            time.advance(1)
            await two.turn()
        assert two.worker.leading
        assert two.held() == {A.id: "endpoint_gone"}
        assert two.handler.jobs == []


async def test_a_hook_cannot_be_enabled_for_good_while_the_store_is_away() -> None:
    async with world(A) as w:
        w.queue.failing = StoreUnavailable("away")
        with pytest.raises(StoreUnavailable):
            await w.worker.enable(A.id)


async def test_switched_off_survives_a_restart_and_ends_when_the_definition_changes() -> None:
    time = FakeTime()
    async with world(A, time=time) as w:
        queue = w.queue
        w.handler.outcomes["a"] = [Discard("gone", "answered 410", disable=True)]
        await w.offer(A)
        await queue.settled(1)
        await w.worker.drain(1)
    async with world(A, time=time, queue=queue, holder="two") as w:
        await w.offer(A)
        await w.turn()
        assert w.held() == {A.id: "endpoint_gone"}
        w.registry.set()
        w.registry.set(A)
        await w.turn()
        assert w.held() == {A.id: "endpoint_gone"}, "the same definition, taken away and brought back"
        changed = scripted_hook("a", config={"endpoint": "http://elsewhere:80"})
        w.registry.set(changed)
        await queue.settled(2)
        assert w.held() == {}


async def test_another_process_can_enable_a_hook() -> None:
    async with world(A) as w:
        w.handler.outcomes["a"] = [Discard("gone", "answered 410", disable=True), Delivered()]
        await w.offer(A)
        await w.queue.settled(1)
        await w.offer(A)
        await w.turn()
        await w.queue.save_endpoint(EndpointHealth(A.id))
        for _ in range(20):
            w.time.advance(1)
            await w.turn()
        await w.queue.settled(2)


async def test_an_endpoint_without_a_success_for_120_hours_is_switched_off() -> None:
    async with world(A) as w:
        w.handler.outcomes["a"] = [FAILED]
        with structlog.testing.capture_logs() as logs:
            hours = 0
            while w.held().get(A.id) != "endpoint_failing":
                await w.offer(A)
                before = len(w.queue.attempted)
                await w.turn()
                w.time.advance(3600)
                await w.queue.settled(before + 1)
                hours += 1
        assert hours == 121
        assert any(each["event"] == "hook_disabled" and each["reason"] == "failing" for each in logs)
        assert (await w.queue.endpoints())[0].disabled == "failing"
