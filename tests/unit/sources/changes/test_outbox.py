"""The outbox is emptied into the queue, and a change leaves it only when all its events are committed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kong_eventhooks_plugin.errors import QueueFull, StoreUnavailable
from kong_eventhooks_plugin.queue.contract import Receipt
from kong_eventhooks_plugin.sources.changes.outbox import BATCH, OutboxPublisher
from kong_eventhooks_plugin.telemetry.metrics import Counts
from tests.support.crud import Publisher, StandInMirror, make_change, settled
from tests.support.waiting import SECONDS

THREE = [("crud", "consumers"), ("crud", "consumers:create"), ("dao:crud", "create")]


@asynccontextmanager
async def pumping(
    mirror: StandInMirror, publisher: Publisher, counts: Counts | None = None, **more: Any
) -> AsyncIterator[OutboxPublisher]:
    pump = OutboxPublisher(mirror, publisher, counts or Counts(), **({"pause": 0.001, "poll_seconds": 60} | more))
    task = asyncio.create_task(pump.run())
    try:
        yield pump
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


def empty(mirror: StandInMirror) -> bool:
    return not mirror.outbox


async def test_what_a_killed_process_left_is_reported_at_the_start() -> None:
    mirror, publisher = StandInMirror(make_change()), Publisher()
    async with pumping(mirror, publisher):
        await mirror.until(empty)
    assert publisher.names() == THREE


async def test_what_comes_is_reported_when_somebody_says_so() -> None:
    mirror, publisher = StandInMirror(make_change("c-0")), Publisher()
    async with pumping(mirror, publisher) as pump:
        await mirror.until(empty)
        mirror.outbox["c-1"] = make_change("c-1")
        pump.wake()
        await mirror.until(empty)
    assert publisher.names() == THREE * 2


async def test_what_another_process_put_there_is_found_without_a_word() -> None:
    mirror, publisher = StandInMirror(make_change("c-0")), Publisher()
    async with pumping(mirror, publisher, poll_seconds=0.001):
        await mirror.until(empty)
        mirror.outbox["c-1"] = make_change("c-1")
        await mirror.until(empty)
    assert publisher.names() == THREE * 2


async def test_a_change_stays_until_the_last_of_its_events_is_committed() -> None:
    mirror, publisher = StandInMirror(make_change()), Publisher(at_once=False)
    async with pumping(mirror, publisher):
        await settled(lambda: len(publisher.futures) == 3)
        for event, future in list(zip(publisher.events, publisher.futures, strict=True))[:2]:
            future.set_result(Receipt(event.id, duplicate=False, fired=(), held_back={}))
        await settled(lambda: True)
        assert mirror.outbox
        publisher.futures[2].set_result(Receipt("e", duplicate=False, fired=(), held_back={}))
        await mirror.until(empty)


async def test_killed_before_the_commit_it_is_reported_again_with_the_same_ids() -> None:
    mirror, first, second = StandInMirror(make_change()), Publisher(at_once=False), Publisher()
    async with pumping(mirror, first):
        await settled(lambda: len(first.futures) == 3)
    assert mirror.outbox
    assert not any(future.done() for future in first.futures), "the queue's own futures are left alone"
    async with pumping(mirror, second):
        await mirror.until(empty)
    assert [event.id for event in first.events] == [event.id for event in second.events]


async def test_nobody_subscribes_to_it() -> None:
    mirror, publisher = StandInMirror(make_change()), Publisher(subscribed=False)
    async with pumping(mirror, publisher):
        await mirror.until(empty)
    assert len(publisher.events) == 3


@pytest.mark.parametrize("where", ["refusals", "failures"])
@pytest.mark.parametrize("trouble", [QueueFull("buffer", "x"), StoreUnavailable("x"), StoreUnavailable("y")], ids=repr)
async def test_a_store_with_errors_is_tried_again_and_nothing_is_lost(where: str, trouble: Exception) -> None:
    mirror, publisher, counts = StandInMirror(make_change("c-1"), make_change("c-2")), Publisher(), Counts()
    getattr(publisher, where).extend([trouble, trouble])
    async with pumping(mirror, publisher, counts) as pump:
        await mirror.until(empty)
        await settled(lambda: pump.error is None)
    assert {event.id for event in publisher.events[-6:]} == {event.id for event in publisher.events}
    assert not counts.events_lost


async def test_an_offer_that_the_closing_queue_let_go_is_made_again() -> None:
    mirror, publisher = StandInMirror(make_change()), Publisher(at_once=False)
    async with pumping(mirror, publisher):
        await settled(lambda: len(publisher.futures) == 3)
        for future in publisher.futures[:3]:
            future.cancel()
        await settled(lambda: len(publisher.futures) == 6)
        assert mirror.outbox


async def test_the_mirrors_own_store_with_errors() -> None:
    mirror, publisher = StandInMirror(make_change()), Publisher()
    mirror.errors = [StoreUnavailable("x"), RuntimeError("a bug")]
    async with pumping(mirror, publisher) as pump:
        await mirror.until(empty)
        await settled(lambda: pump.error is None)
    assert publisher.names() == THREE


@pytest.mark.parametrize("where", ["refusals", "failures"])
async def test_a_change_that_trips_our_code_is_counted_and_holds_up_nothing(where: str) -> None:
    mirror, publisher, counts = StandInMirror(make_change("c-1"), make_change("c-2")), Publisher(), Counts()
    getattr(publisher, where).append(TypeError("not JSON"))
    async with pumping(mirror, publisher, counts):
        await mirror.until(empty)
    assert publisher.names()[-3:] == THREE
    assert counts.events_lost == {("change_failed",): 1}


async def test_at_most_a_batch_is_in_flight() -> None:
    mirror = StandInMirror(*(make_change(f"c-{number}") for number in range(BATCH + 1)))
    publisher = Publisher(at_once=False)
    async with pumping(mirror, publisher):
        await settled(lambda: len(publisher.futures) == 3 * BATCH)
        await settled(lambda: True)
        assert len(publisher.futures) == 3 * BATCH
        for future in publisher.futures[:]:
            future.set_result(Receipt("e", duplicate=False, fired=(), held_back={}))
        await settled(lambda: len(publisher.futures) == 3 * BATCH + 3)
        assert list(mirror.outbox) == [f"c-{BATCH}"]


async def test_flush_waits_until_all_is_committed() -> None:
    mirror, publisher = StandInMirror(), Publisher(at_once=False)
    async with pumping(mirror, publisher) as pump:
        await pump.flush()
        mirror.outbox["c-1"] = make_change("c-1")
        flushing = asyncio.create_task(pump.flush())
        await publisher.until(3)
        await settled()
        assert not flushing.done()
        for future in publisher.futures:
            future.set_result(Receipt("x", duplicate=False, fired=(), held_back={}))
        await asyncio.wait_for(flushing, SECONDS)
    assert mirror.outbox == {}


async def test_while_it_holds_nothing_is_reported() -> None:
    mirror, publisher, holding = StandInMirror(make_change()), Publisher(), True
    async with pumping(mirror, publisher, holds=lambda: holding) as pump:
        await settled(lambda: True)
        assert not publisher.events
        holding = False
        pump.wake()
        await mirror.until(empty)
