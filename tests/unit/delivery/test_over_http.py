"""The worker with the real handler and real endpoints: what a receiver sees."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog

from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.hooks.contract import HookChange
from kong_eventhooks_plugin.model.hook import Hook
from tests.support.delivery_jobs import webhook_handler
from tests.support.delivery_time import FakeTime
from tests.support.delivery_world import World, world
from tests.support.events import make_hook
from tests.support.http_receiver import HttpReceiver, answer, hang, raw
from tests.support.waiting import SECONDS


def webhook(name: str, receiver: HttpReceiver, **config: Any) -> Hook:
    return make_hook(name, handler="webhook", config={"url": receiver.url, **config})


@asynccontextmanager
async def delivering(*hooks: Hook, **options: Any) -> AsyncIterator[World]:
    handler = webhook_handler()
    try:
        async with world(*hooks, handlers={"webhook": handler}, **options) as w:
            yield w
    finally:
        await handler.close()


async def test_one_endpoint_that_hangs_does_not_delay_another() -> None:
    async with HttpReceiver(hang()) as hanging, HttpReceiver() as healthy:
        slow, fast = webhook("slow", hanging), webhook("fast", healthy)
        async with delivering(slow, fast) as w:
            await w.offer(slow, count=30)
            await hanging.received(8)
            await w.offer(fast, count=30)
            await healthy.received(30)
            await w.queue.settled(30)
            assert len(hanging.requests) == 8
            assert {settlement.state for settlement in w.queue.attempted} == {"delivered"}


async def test_a_worker_that_dies_between_sending_and_settling_sends_again_with_the_same_id() -> None:
    time = FakeTime()
    async with HttpReceiver(hang(), answer(200)) as receiver:
        hook = webhook("a", receiver, secret="s")
        async with delivering(hook, time=time) as first:
            queue = first.queue
            [delivery] = await first.offer(hook)
            await receiver.received(1)
        queue._listeners.clear()
        time.advance(DeliveryLimits().lease + 1)
        async with delivering(hook, time=time, queue=queue, holder="two"):
            await queue.settled(1)
    assert receiver.ids == [delivery, delivery]
    assert receiver.requests[0].body == receiver.requests[1].body
    stamps = [int(request.headers["webhook-timestamp"]) for request in receiver.requests]
    assert stamps[1] - stamps[0] == 91
    assert receiver.requests[0].headers["webhook-signature"] != receiver.requests[1].headers["webhook-signature"]


async def test_a_delivered_event_whose_answer_cannot_be_read_is_posted_once_and_noted() -> None:
    cut = raw(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 10_000 + b"\r\n\r\n")
    async with HttpReceiver(cut) as receiver:
        hook = webhook("a", receiver, headers={"x-who": "a\rb"})
        async with delivering(hook) as w:
            [delivery] = await w.offer(hook)
            await w.queue.settled(1)
            [attempt] = await w.queue.attempts(delivery)
            assert (await w.queue.get(delivery)).state == "delivered"
        assert len(receiver.requests) == 1
    assert (attempt.outcome, attempt.error, attempt.status, attempt.body) == ("delivered", None, 200, b"")
    assert attempt.detail == (
        "the answer could not be read to its end: the answer is not HTTP; "
        "header x-who: line ends and control characters removed"
    )


async def test_a_ping_of_a_replaced_definition_is_void() -> None:
    async with HttpReceiver(answer(503), answer(200)) as old, HttpReceiver() as new:
        before, after = webhook("a", old), webhook("a", new)
        async with delivering(before) as w:
            w.worker.ping_changes([HookChange(None, before)])
            await old.received(1)
            await w.turn()
            w.worker.ping_changes(w.registry.set(after))
            await new.received(1)
            for _ in range(40):
                w.time.advance(1)
                await w.turn()
        assert [json.loads(request.body)["operation"] for request in new.requests] == ["update"]
        assert len(old.requests) == 1


async def test_a_connection_cut_before_the_answer_is_followed_by_one_attempt_at_once() -> None:
    async with HttpReceiver(raw(b""), answer(200)) as receiver:
        hook = webhook("a", receiver)
        async with delivering(hook) as w:
            [delivery] = await w.offer(hook)
            await w.queue.settled(2)
            attempts = await w.queue.attempts(delivery)
    assert [(attempt.number, attempt.error, attempt.status) for attempt in attempts] == [
        (1, "connect", None),
        (2, None, 200),
    ]
    assert receiver.ids == [delivery, delivery]


async def test_a_429_holds_the_endpoint_for_its_wish() -> None:
    async with HttpReceiver(answer(429, headers={"retry-after": "120"}), answer(200)) as receiver:
        hook = webhook("a", receiver)
        async with delivering(hook) as w:
            [delivery] = await w.offer(hook)
            await w.queue.settled(1)
            assert (await w.queue.get(delivery)).due_at == w.time() + 120
            await w.offer(hook)
            for _ in range(119):
                w.time.advance(1)
                await w.turn(3)
            assert len(receiver.requests) == 1
            w.time.advance(1)
            await w.queue.settled(3)


async def test_a_410_ends_it() -> None:
    async with HttpReceiver(answer(410)) as receiver:
        hook = webhook("a", receiver)
        async with delivering(hook) as w:
            [delivery] = await w.offer(hook)
            await w.queue.settled(1)
            [later] = await w.offer(hook)
            await w.turn()
            assert (await w.queue.get(delivery)).reason == "gone"
            assert (await w.queue.get(later)).state == "pending"
            assert len(receiver.requests) == 1


async def test_a_definition_that_comes_is_pinged_without_its_secret() -> None:
    async with HttpReceiver() as receiver:
        hook = webhook("a", receiver, secret="s3cr3t-s3cr3t")
        async with delivering() as w:
            changes = w.registry.set(hook)
            with structlog.testing.capture_logs() as logs:
                w.worker.ping_changes(changes)
                [ping] = await receiver.received(1)
                await w.offer(hook)
                await receiver.received(2)
    assert b'"event":"ping"' in ping.body
    assert b"s3cr3t" not in ping.body
    assert "s3cr3t" not in repr(logs)


async def test_drain_ends_what_is_in_flight_within_its_time() -> None:
    async with HttpReceiver(hang()) as receiver:
        hook = webhook("a", receiver)
        async with delivering(hook) as w:
            ids = await w.offer(hook, count=20)
            await receiver.received(8)
            draining = asyncio.create_task(w.worker.drain(5))
            await w.turn()
            w.time.advance(5)
            async with asyncio.timeout(SECONDS):
                await draining
            assert {(await w.queue.get(delivery)).state for delivery in ids} == {"pending"}
            assert await w.queue.lead("two", 10)
