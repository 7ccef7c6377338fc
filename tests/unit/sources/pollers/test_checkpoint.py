import pytest
from structlog.testing import capture_logs

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.pollers.checkpoint import Checkpoint
from kong_eventhooks_plugin.sources.pollers.publisher import Publisher
from tests.support.pollers import World

EVENT = Event("id", "balancer", "health", {"health": "unhealthy", "ip": None, "n": [1]}, 1.5)


def kept(world: World) -> Checkpoint[dict[str, int]]:
    publisher = Publisher(world.dispatcher.publish, world.gate)
    return Checkpoint(world.notes, "x", dict[str, int], lambda state: state, publisher)


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_state_comes_back(world: World) -> None:
    assert await kept(world).commit({"a": 1})
    again = kept(world)
    assert await again.load()
    assert again.state == {"a": 1}


async def test_the_same_state_is_not_written_and_an_empty_one_leaves_no_note(world: World) -> None:
    mine = kept(world)
    await mine.commit({"a": 1})
    await mine.commit({"a": 1})
    assert world.notes.writes == 1
    await mine.commit({})
    assert world.notes.kept == {}


async def test_a_pending_event_is_loaded_whole(world: World) -> None:
    world.dispatcher.bug = True
    with pytest.raises(RuntimeError):
        await kept(world).commit({"a": 1}, [EVENT])
    world.dispatcher.bug = False
    again = kept(world)
    assert await again.load()
    assert world.dispatcher.events == [EVENT]
    assert again.state == {"a": 1}


async def test_what_follows_waits_for_what_is_pending(world: World) -> None:
    mine = kept(world)
    world.dispatcher.bug = True
    with pytest.raises(RuntimeError):
        await mine.commit({"a": 1}, [EVENT])
    world.dispatcher.bug = False
    assert await mine.commit({"a": 2})
    assert world.dispatcher.events == [EVENT]
    assert mine.state == {"a": 2}


async def test_a_write_that_failed_changes_nothing(world: World) -> None:
    mine = kept(world)
    world.notes.refuse = 1
    with pytest.raises(StoreUnavailable):
        await mine.commit({"a": 1}, [EVENT])
    assert mine.state == {}
    assert world.dispatcher.offered == []
    assert await mine.commit({"a": 1}, [EVENT])
    assert world.dispatcher.events == [EVENT]


@pytest.mark.parametrize("content", [b"nonsense", b'{"state": 3}', b'{"state": {"a": "b"}}'])
async def test_a_note_that_cannot_be_read_is_logged_and_begun_anew(world: World, content: bytes) -> None:
    world.notes.kept["x"] = content
    mine = kept(world)
    with capture_logs() as logs:
        assert await mine.load()
    assert mine.state == {}
    assert [line["event"] for line in logs] == ["checkpoint_unreadable"]
