import asyncio
import sqlite3

import pytest
import structlog

from kong_eventhooks_plugin.errors import QueueError, QueueFull, StoreUnavailable
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.contract import Candidate, Offer, QueueLimits
from kong_eventhooks_plugin.queue.forwarding import spool as module
from kong_eventhooks_plugin.queue.forwarding.spool import FILE, Spool
from tests.support.clock import START
from tests.support.queue import SOURCE, event, hook, offer
from tests.unit.queue.forwarding.conftest import World


async def test_an_offer_comes_back_as_it_was_also_for_another_process(world: World) -> None:
    given = Offer(
        event(1, umlaut="grüße", nested={"list": [1, None, 2.5]}), (Candidate("h", SOURCE, digest=b"\0\xff"),)
    )
    await world.spool.add(given)
    another = await world.open()
    (found,) = await another.first(10)
    assert (found.offer, found.accepted_at) == (given, START)


async def test_offers_that_wait_share_a_transaction_and_keep_their_order(world: World) -> None:
    await asyncio.gather(*(world.spool.add(offer(number, "hook")) for number in range(1, 101)))
    assert world.added == 2
    assert [one.offer.event.id for one in await world.spool.first(100)] == [event(n).id for n in range(1, 101)]


async def test_its_state_says_what_waits_and_since_when(world: World) -> None:
    assert await world.spool.state() == (0, 0, None)
    await world.accept(1)
    world.clock.advance(5)
    await world.accept(2)
    offers, size, oldest = await world.spool.state()
    assert (offers, oldest) == (2, START)
    assert size > 100
    (first, _) = await world.spool.first(2)
    await world.spool.forwarded(first.n)
    assert (await world.spool.state()).oldest == START + 5
    assert await world.spool.first(1)
    assert world.spool.waiting() == await world.spool.state()


@pytest.mark.parametrize(
    ("limits", "reason"), [(QueueLimits(deliveries=1), "queue_full"), (QueueLimits(bytes=1), "queue_bytes")]
)
async def test_past_a_limit_an_offer_is_refused(world: World, limits: QueueLimits, reason: str) -> None:
    await world.open(limits)
    await world.accept(1)
    with pytest.raises(QueueFull) as refused:
        world.spool.add(offer(2, "hook"))
    assert refused.value.reason == reason
    await world.spool.forwarded(1)
    await world.accept(2)


async def test_only_so_many_wait_for_the_disk(world: World) -> None:
    await world.open(QueueLimits(waiting=1))
    first = world.spool.add(offer(1, "hook"))
    with pytest.raises(QueueFull) as refused:
        world.spool.add(offer(2, "hook"))
    assert refused.value.reason == "buffer"
    await first


async def test_what_cannot_be_written_is_an_error_of_its_own(world: World) -> None:
    with pytest.raises(QueueError, match="cannot be written"):
        world.spool.add(Offer(Event(id="e", source="s", event="e", data={"bad": object()}, time=1.0), ()))


async def test_forwarded_offers_are_kept_for_a_store_that_goes_back(world: World) -> None:
    await world.accept(1, 2)
    await world.spool.forwarded(2)
    assert await world.spool.sweep() == 0
    await world.spool.go_back(1)
    assert [one.n for one in await world.spool.first(10)] == [2]
    assert await world.spool.sweep() == 0
    world.clock.advance(module.KEEP_SECONDS)
    assert await world.spool.sweep() == 1
    assert [one.n for one in await world.spool.first(10)] == [2]


async def test_offers_are_kept_from_when_they_were_forwarded_not_accepted(world: World) -> None:
    await world.accept(1)
    assert await world.spool.sweep() == 0
    world.clock.advance(module.KEEP_SECONDS)
    await world.spool.forwarded(1)
    assert await world.spool.sweep() == 0
    world.clock.advance(module.KEEP_SECONDS / 2)
    assert await world.spool.sweep() == 0
    world.clock.advance(module.KEEP_SECONDS / 2)
    assert await world.spool.sweep() == 1


@pytest.mark.parametrize("limits", [QueueLimits(deliveries=2), QueueLimits(bytes=300)], ids=["count", "bytes"])
async def test_past_what_may_wait_the_oldest_are_kept_no_longer(world: World, limits: QueueLimits) -> None:
    await world.open(limits)
    await world.accept(1)
    await world.spool.forwarded(1)
    await world.accept(2)
    assert await world.spool.sweep() == 0
    await world.spool.forwarded(2)
    await world.accept(3)
    assert await world.spool.sweep() == 2
    assert [one.n for one in await world.spool.first(10)] == [3]


async def test_sizes_hold_after_going_back_past_what_is_kept(world: World) -> None:
    await world.accept(1, 2)
    before = await world.spool.state()
    await world.spool.forwarded(1)
    await world.spool.sweep()
    world.clock.advance(module.KEEP_SECONDS)
    await world.spool.sweep()
    await world.spool.go_back(0)
    after = await world.spool.state()
    assert after.bytes == before.bytes // 2


async def test_a_disk_that_fails_is_an_error_until_it_works_again(world: World) -> None:
    await world.spool.run(lambda connection: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreUnavailable, match=FILE):
        await world.spool.add(offer(1, "hook"))
    assert FILE in str(world.spool.error())
    await world.spool.run(lambda connection: connection.execute("PRAGMA query_only = OFF"))
    await world.accept(2)
    assert world.spool.error() is None


async def test_definitions_are_those_that_were_stored_last(world: World) -> None:
    await world.spool.store_definitions([hook("one"), hook("two")], [])
    await world.spool.store_definitions([hook("two", handler="log")], ["id-one"])
    assert await world.spool.definitions() == [hook("two", handler="log")]


async def test_a_file_of_another_program_is_left_alone(world: World) -> None:
    (world.folder / "other").mkdir()
    path = world.folder / "other" / FILE
    await world.spool.run(lambda connection: connection.execute("VACUUM INTO ?", (str(path),)))
    other = Spool(path, QueueLimits(), world.clock, lambda: None)
    await other.open()
    assert other.id == world.spool.id
    await other.run(lambda connection: connection.execute("PRAGMA user_version = 99"))
    await other.close(1)
    for change, why in (("application_id = 1", "newer version"), ("application_id = 0", "another program")):
        refused = Spool(path, QueueLimits(), world.clock, lambda: None)
        assert refused.error() == f"{path}: is not open"
        with pytest.raises(StoreUnavailable, match=why):
            await refused.open()
        assert why in (refused.error() or "")
        with sqlite3.connect(path) as connection:
            connection.execute(f"PRAGMA {change}")
        connection.close()


async def test_how_far_the_store_is_is_written_with_the_next_offers(world: World) -> None:
    spool = world.spool
    await world.accept(1, 2)
    await spool.first(1)
    await spool.forwarded(1)
    assert (spool.position, (await world.open()).position) == (1, 0)
    await spool.add(offer(3))
    assert (await world.open()).position == 1
    assert [one.n for one in await spool.first(10)] == [2, 3]


async def test_what_is_too_much_to_keep_in_memory_is_read_from_the_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECENT", 2)
    for number in range(1, 6):
        await world.accept(number)
    seen = []
    while found := await world.spool.first(2):
        seen += [one.n for one in found]
        await world.spool.forwarded(found[-1].n)
    assert seen == [1, 2, 3, 4, 5]


async def test_a_batch_of_large_events_is_small_enough_for_one_statement(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From memory and from the file, however large the first one is."""
    monkeypatch.setattr(module, "FIRST_BYTES", 1_000)
    for number, size in enumerate((400, 400, 2_000, 10), 1):
        await world.spool.add(offer(number, "hook", junk="x" * size))
    for spool in (world.spool, await world.open()):
        assert [one.n for one in await spool.first(10)] == [1, 2]
        assert [one.n for one in await spool.first(10, after=2)] == [3, 4]


@pytest.mark.parametrize("broken", ["_keep", "_added"])
async def test_a_bug_behind_a_transaction_does_not_end_accepting(
    world: World, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with structlog.testing.capture_logs() as logs, monkeypatch.context() as patched:
        patched.setattr(world.spool, broken, fail)
        adding = [world.spool.add(offer(key, "hook")) for key in range(3)]
        ended = await asyncio.wait_for(asyncio.gather(*adding, return_exceptions=True), 10)
        assert ("ZeroDivisionError" in str(ended[0])) == (broken == "_keep")
        assert "ZeroDivisionError raised in" in (world.spool.error() or "")
    assert [(line["event"], line["exc_info"]) for line in logs] == [("store_unavailable", True)]
    await asyncio.wait_for(world.spool.add(offer("after", "hook")), 10)
    assert world.spool.error() is None
    assert await world.waiting() == 4
    assert [one.offer.event.id for one in await world.spool.first(9)] == [event(key).id for key in (0, 1, 2, "after")]


async def test_what_did_not_open_takes_nothing_and_opens_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    spool = Spool(world.folder / FILE, QueueLimits(), world.clock, lambda: None)
    with monkeypatch.context() as patched:
        patched.setattr(module, "_positions", fail)
        with pytest.raises(StoreUnavailable, match="disk I/O error"):
            await spool.open()
        with pytest.raises(StoreUnavailable, match="disk I/O error"):
            spool.add(offer(1, "hook"))
    await spool.open()
    world.spools.append(spool)
    await asyncio.wait_for(spool.add(offer(2, "hook")), 10)
