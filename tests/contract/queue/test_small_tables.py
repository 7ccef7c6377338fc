"""Who delivers, definitions, endpoints."""

import msgspec

from kong_eventhooks_plugin.queue.contract import EndpointHealth, Queue
from tests.support.clock import FakeClock
from tests.support.queue import hook


async def test_one_leads(queue: Queue, clock: FakeClock) -> None:
    assert await queue.lead("a", 10)
    assert not await queue.lead("b", 10)
    clock.advance(9)
    assert await queue.lead("a", 10)
    clock.advance(9.5)
    assert not await queue.lead("b", 10)
    clock.advance(0.5)
    assert await queue.lead("b", 10)
    assert not await queue.lead("a", 10)


async def test_who_resigns_leads_no_more(queue: Queue) -> None:
    await queue.lead("a", 10)
    await queue.resign("b")
    assert not await queue.lead("b", 10)
    await queue.resign("a")
    assert await queue.lead("b", 10)


async def test_definitions(queue: Queue) -> None:
    assert await queue.definitions() == []
    one, two = hook("one"), hook("two", event="rate-limit-exceeded", enabled=False)
    await queue.store_definitions([two, one], [])
    assert await queue.definitions() == [one, two]
    changed = msgspec.structs.replace(one, snooze=None)
    await queue.store_definitions([changed], [two.id, "never was"])
    assert await queue.definitions() == [changed]


async def test_what_is_removed_and_written_at_once_is_written(queue: Queue) -> None:
    await queue.store_definitions([hook("one")], [])
    await queue.store_definitions([hook("one")], [hook("one").id])
    assert await queue.definitions() == [hook("one")]


async def test_endpoints(queue: Queue) -> None:
    assert await queue.endpoints() == []
    await queue.save_endpoint(EndpointHealth("b", failing_since=5.0))
    await queue.save_endpoint(EndpointHealth("a"))
    await queue.save_endpoint(EndpointHealth("b", failing_since=5.0, disabled="gone", disabled_at=6.0))
    assert await queue.endpoints() == [
        EndpointHealth("a"),
        EndpointHealth("b", failing_since=5.0, disabled="gone", disabled_at=6.0),
    ]
