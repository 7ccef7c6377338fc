"""``claim_first``: one after the other, in the order of acceptance."""

from kong_eventhooks_plugin.queue.contract import Queue
from tests.support.clock import START, FakeClock
from tests.support.queue import dead, delivered, id_of, offer, postponed
from tests.support.queue_engines import Store


async def first(queue: Queue, hook: str = "h") -> str | None:
    found = await queue.claim_first(hook, 60)
    return found[0].id if found else None


async def test_the_next_is_leased_when_the_one_before_has_settled(queue: Queue) -> None:
    for key in range(3):
        await queue.offer(offer(key, "h", "other"))
    for key, settled in ((0, delivered), (1, dead), (2, delivered)):
        assert await first(queue) == id_of(key)
        assert await first(queue) is None, "it is under way"
        await queue.settle([settled(id_of(key))])
    assert await first(queue) is None
    assert await first(queue, "unheard of") is None
    assert await first(queue, "other") == id_of(0, "other")


async def test_one_that_waits_for_its_next_attempt_holds_those_behind_it(queue: Queue, clock: FakeClock) -> None:
    for key in range(2):
        await queue.offer(offer(key))
    assert await first(queue) == id_of(0)
    await queue.settle([postponed(id_of(0), START + 30)])
    clock.advance(29)
    assert await first(queue) is None
    clock.advance(1)
    assert await first(queue) == id_of(0)
    await queue.settle([dead(id_of(0), 2)])
    assert await first(queue) == id_of(1)


async def test_a_lease_that_ran_out_is_the_first_again(queue: Queue, clock: FakeClock) -> None:
    for key in range(2):
        await queue.offer(offer(key))
    assert await first(queue) == id_of(0)
    clock.advance(60)
    assert await first(queue) == id_of(0)


async def test_a_replayed_one_has_its_old_place(queue: Queue) -> None:
    for key in range(4):
        await queue.offer(offer(key))
    for key in range(2):
        assert await first(queue) == id_of(key)
        await queue.settle([dead(id_of(key))])
    assert await first(queue) == id_of(2)
    await queue.replay(id_of(1))
    await queue.settle([delivered(id_of(2))])
    assert await first(queue) == id_of(1)
    await queue.settle([delivered(id_of(1), 2)])
    assert await first(queue) == id_of(3)


async def test_a_clock_that_was_set_back_changes_no_order(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(0))
    clock.advance(-3_600)
    await queue.offer(offer(1))
    clock.advance(3_600)
    assert await first(queue) == id_of(0)


async def test_who_waits_hears_that_the_one_before_has_settled(queue: Queue) -> None:
    woken: list[str] = []
    for key in range(2):
        await queue.offer(offer(key))
    queue.on_work(woken.append)
    await first(queue)
    await queue.settle([delivered(id_of(0))])
    assert woken == ["h"]


async def test_a_settlement_that_changes_nothing_wakes_nobody(queue: Queue) -> None:
    await queue.offer(offer(0))
    assert await first(queue) == id_of(0)
    woken: list[str] = []
    queue.on_work(woken.append)
    await queue.settle([delivered(id_of(0), 7)])
    assert woken == []


async def test_the_order_outlives_the_process_and_another_one_s_replay(durable: Store) -> None:
    queue = await durable.open()
    for key in range(3):
        await queue.offer(offer(key))
    assert await first(queue) == id_of(0)
    await queue.settle([dead(id_of(0))])
    assert await first(queue) == id_of(1)
    other = await durable.open()
    await other.replay(id_of(0))
    await queue.settle([delivered(id_of(1))])
    assert await first(queue) == id_of(0)
