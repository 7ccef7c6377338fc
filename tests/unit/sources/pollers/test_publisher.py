import asyncio

import msgspec
import pytest
import structlog

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.pollers.publisher import AT_ONCE, Publisher
from tests.support.pollers import World
from tests.support.waiting import SECONDS

EVENT = Event("id", "balancer", "health", {"health": "unhealthy"}, 1.0)


@pytest.fixture
async def world() -> World:
    return World()


async def test_committed(world: World) -> None:
    assert await Publisher(world.dispatcher.publish, world.gate).publish([EVENT])
    assert world.dispatcher.events == [EVENT]


async def test_no_hook_matches(world: World) -> None:
    world.dispatcher.hooks = False
    assert await Publisher(world.dispatcher.publish, world.gate).publish([EVENT])
    assert world.dispatcher.events == []


@pytest.mark.parametrize("trouble", ["full", "unavailable", "closed"])
async def test_what_the_queue_refuses_is_offered_again_after_growing_pauses(world: World, trouble: str) -> None:
    setattr(world.dispatcher, trouble, 4)
    world.time.let_go(100)
    assert await Publisher(world.dispatcher.publish, world.gate).publish([EVENT])
    assert world.dispatcher.offered == ["id"] * 5
    assert world.dispatcher.events == [EVENT]
    assert world.time.now == pytest.approx(1_800_000_000 + 1 + 2 + 4 + 8)


async def test_many_wait_for_a_commit_together_and_only_what_was_refused_is_offered_again(world: World) -> None:
    events = [msgspec.structs.replace(EVENT, id=str(number)) for number in range(AT_ONCE + 10)]
    world.dispatcher.full, world.dispatcher.unavailable = 3, 2
    world.time.let_go(100)
    assert await Publisher(world.dispatcher.publish, world.gate).publish(events)
    assert {event.id for event in world.dispatcher.events} == {event.id for event in events}
    assert len(world.dispatcher.offered) == len(events) + 5
    assert world.time.now == pytest.approx(1_800_000_000 + 1)


async def test_refused_events_are_one_line_a_try(world: World) -> None:
    world.dispatcher.full = AT_ONCE
    world.time.let_go(100)
    events = [msgspec.structs.replace(EVENT, id=str(number)) for number in range(AT_ONCE)]
    with structlog.testing.capture_logs() as lines:
        assert await Publisher(world.dispatcher.publish, world.gate).publish(events)
    assert [line["events"] for line in lines] == [AT_ONCE]


async def test_it_stops_when_another_process_leads(world: World) -> None:
    world.dispatcher.full = 1_000_000
    telling = asyncio.create_task(Publisher(world.dispatcher.publish, world.gate).publish([EVENT]))
    await world.time.pass_(30)
    world.leads = False
    world.time.let_go(2)
    assert await asyncio.wait_for(telling, SECONDS) is False


async def test_a_bug_is_raised(world: World) -> None:
    world.dispatcher.bug = True
    with pytest.raises(RuntimeError):
        await Publisher(world.dispatcher.publish, world.gate).publish([EVENT])


async def test_cancelled_while_the_queue_commits_the_offer_goes_on(world: World) -> None:
    future = asyncio.get_running_loop().create_future()
    telling = asyncio.create_task(Publisher(lambda _: future, world.gate).publish([EVENT]))
    await asyncio.sleep(0)
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    assert not future.cancelled()
