import pytest

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.contract import EventFilter
from kong_eventhooks_plugin.queue.forwarding import forwarder
from tests.support.queue import event, offer
from tests.support.shared_queue import Backup
from tests.unit.queue.forwarding.conftest import World


def ids(*numbers: int) -> list[str]:
    return [event(number).id for number in numbers]


async def stored(world: World) -> list[str]:
    page = await world.shared.events(EventFilter(), 100)
    return [accepted.event.id for accepted in reversed(page.events)]


async def test_offers_are_moved_in_order_and_what_they_led_to_is_reported(world: World) -> None:
    await world.accept(1, 2, 3)
    assert await world.forwarder.move() == 3
    assert world.shared.offered == world.decided == await stored(world) == ids(1, 2, 3)
    assert await world.waiting() == 0
    assert await world.forwarder.move() == 0


async def test_more_than_a_batch_goes_in_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder, "BATCH", 2)
    await world.accept(1, 2, 3)
    assert [await world.forwarder.move() for _ in range(3)] == [2, 1, 0]
    assert world.shared.offered == ids(1, 2, 3)


async def test_a_store_that_is_away_leaves_everything_in_the_spool(world: World) -> None:
    world.shared.away = True
    await world.accept(1)
    with pytest.raises(StoreUnavailable, match="away"):
        await world.forwarder.move()
    assert await world.waiting() == 1
    world.shared.away = False
    await world.forwarder.move()
    assert await stored(world) == ids(1)


async def test_an_offer_that_is_moved_twice_is_one_event(world: World) -> None:
    await world.accept(1, 2)
    await world.forwarder.move()
    await world.spool.go_back(0)
    assert await world.waiting() == 2
    await world.forwarder.move()
    assert world.shared.offered == ids(1, 2, 1, 2)
    assert await stored(world) == ids(1, 2)


async def test_what_a_restored_backup_lacks_is_moved_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder, "POSITION_SECONDS", 0)
    await world.accept(1)
    await world.forwarder.move()
    await world.forwarder.move()
    await world.shared.close()
    backup = Backup(world.shared)
    await world.shared.open()
    await world.accept(2, 3)
    await world.forwarder.move()
    await world.forwarder.move()
    await world.shared.close()
    backup.restore(world.shared)
    await world.shared.open()
    assert await stored(world) == ids(1)
    await world.forwarder.move()
    assert await stored(world) == ids(1, 2, 3)


async def test_lost_commits_are_seen_although_no_call_failed(world: World) -> None:
    """A failover between two batches: the next one is not accepted before what was lost is moved again."""
    await world.accept(1)
    await world.forwarder.move()
    await world.shared.close()
    backup = Backup(world.shared)
    await world.shared.open()
    await world.accept(2)
    await world.forwarder.move()
    await world.shared.close()
    backup.restore(world.shared)
    await world.shared.open()
    await world.accept(3)
    assert await world.forwarder.move() == 2
    assert world.shared.offered == ids(1, 2, 2, 3)
    assert await stored(world) == ids(1, 2, 3)


async def test_what_the_store_refuses_for_good_is_counted_and_holds_up_nothing(world: World) -> None:
    await world.spool.add(offer(1, "hook", "hook"))
    await world.accept(2)
    await world.forwarder.move()
    assert world.lost == ["refused"]
    assert await stored(world) == ids(2)
    assert await world.waiting() == 0


async def test_what_cannot_be_read_holds_up_nothing(world: World) -> None:
    """The file is damaged, or a newer version that ran before wrote what this one does not know."""
    await world.accept(1, 2, 3)
    await world.spool.run(lambda file: file.execute("UPDATE offers SET offer = ? WHERE n IN (1, 3)", [b"\xc1"]))
    await world.open()
    assert await world.forwarder.move() == 3
    assert world.shared.offered == [event(2).id]
    assert world.lost == ["refused", "refused"]
    assert await world.waiting() == 0


async def test_after_a_refused_one_the_store_is_as_far_as_the_spool(world: World) -> None:
    await world.spool.add(offer(1, "hook", "hook"))
    await world.forwarder.move()
    await world.accept(2)
    assert await world.forwarder.move() == 1
    assert world.lost == ["refused"]
    assert await stored(world) == ids(2)
