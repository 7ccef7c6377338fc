"""Several nodes at the same time over one store."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.queue.contract import Candidate, EventFilter, Offer, QueueLimits, Receipt
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue, horizon, transaction
from kong_eventhooks_plugin.queue.postgresql.lane import StoreClock
from tests.support.clock import FakeClock
from tests.support.queue import NAME, SOURCE, delivered, event, id_of, offer
from tests.unit.queue.postgresql.conftest import Opener

SNOOZE = SuppressionRule(on_change=True, snooze=60)
RULED = Candidate("h", SOURCE, SNOOZE)
"""A transaction of several steps."""
SLOTS = [bytes([number]) for number in range(6)]


async def nodes(
    stack: AsyncExitStack, opened: Opener, count: int, limits: QueueLimits | None = None
) -> list[PostgresQueue]:
    return [await stack.enter_async_context(opened(limits=limits)) for _ in range(count)]


async def test_each_slot_fires_once_whoever_is_first_and_in_whatever_order(opened: Opener, clock: FakeClock) -> None:
    async with AsyncExitStack() as stack:
        queues = await nodes(stack, opened, 3)
        for turn in (1, 2):
            waiting = []
            for number, queue in enumerate(queues):
                for again in range(4):
                    for digest in SLOTS if number % 2 else SLOTS[::-1]:
                        candidates = tuple(Candidate(hook_id, SOURCE, SNOOZE, digest) for hook_id in ("a", "b"))
                        waiting.append(queue.offer(Offer(event(f"{turn} {number} {again} {digest!r}"), candidates)))
                await asyncio.sleep(0)
            receipts = await asyncio.gather(*waiting)
            fired = [hook_id for receipt in receipts for hook_id in receipt.fired]
            assert (fired.count("a"), fired.count("b")) == (len(SLOTS), len(SLOTS)), turn
            assert (await queues[0].stats()).per_hook == {"a": turn * len(SLOTS), "b": turn * len(SLOTS)}
            held = [await queues[0].suppression(Candidate("a", SOURCE, SNOOZE, digest), NAME) for digest in SLOTS]
            assert [slot.held for slot in held if slot is not None] == [3 * 4 - 1] * len(SLOTS)
            clock.advance(60)


async def test_the_same_events_on_every_node_are_told_once(opened: Opener) -> None:
    async with AsyncExitStack() as stack:
        queues = await nodes(stack, opened, 3)
        waiting = [queue.offer(offer(key)) for queue in queues for key in range(40)]
        receipts: list[Receipt] = await asyncio.gather(*waiting)
        assert sum(not receipt.duplicate for receipt in receipts) == 40
        assert (await queues[0].stats()).per_hook == {"h": 40}


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """The first node to accept an event stops when it has its number, until the second event is set."""
    has_number, goes_on = asyncio.Event(), asyncio.Event()
    number = transaction.Transaction.number_events

    async def number_and_wait(self: transaction.Transaction, count: int) -> None:
        await number(self, count)
        if not has_number.is_set():
            has_number.set()
            await goes_on.wait()

    monkeypatch.setattr(transaction.Transaction, "number_events", number_and_wait)
    yield has_number, goes_on
    goes_on.set()


async def test_who_goes_on_after_an_event_misses_none_that_was_committed_late(
    opened: Opener, paused: tuple[asyncio.Event, asyncio.Event]
) -> None:
    has_number, goes_on = paused
    async with AsyncExitStack() as stack:
        slow, fast = await nodes(stack, opened, 2)
        late = asyncio.ensure_future(slow.offer(offer("late", RULED)))
        await has_number.wait()
        await fast.offer(offer("early"))
        reading = asyncio.create_task(fast.events(EventFilter(), 10))
        done, _ = await asyncio.wait([reading], timeout=0.05)
        goes_on.set()
        await late
        seen = [one.event.id for one in (await reading).events]
        seen += [one.event.id for one in (await fast.events(EventFilter(after=seen[0]), 10)).events]
        assert sorted(seen) == sorted([event("early").id, event("late").id])
        assert not done


async def test_a_node_that_stands_still_keeps_back_only_what_is_new(
    opened: Opener, paused: tuple[asyncio.Event, asyncio.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(horizon, "WAITING", 0.05)
    has_number, goes_on = paused
    async with AsyncExitStack() as stack:
        slow, fast = await nodes(stack, opened, 2)
        late = asyncio.ensure_future(slow.offer(offer("late", RULED)))
        await has_number.wait()
        with pytest.raises(StoreUnavailable, match="does not go on"):
            await fast.events(EventFilter(), 10)
        goes_on.set()
        await late
        assert [one.event.id for one in (await fast.events(EventFilter(), 10)).events] == [event("late").id]
        has_number.clear()
        goes_on.clear()
        later = asyncio.ensure_future(slow.offer(offer("later", RULED)))
        await has_number.wait()
        await fast.offer(offer("early"))
        assert [one.event.id for one in (await fast.events(EventFilter(), 10)).events] == [event("late").id]
        goes_on.set()
        await later


async def test_limits_are_exact_where_nodes_go_from_side_by_side_to_one_by_one(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "NODES", 4)
    limits = QueueLimits(deliveries=400, deliveries_per_hook=300)
    async with AsyncExitStack() as stack:
        queues = await nodes(stack, opened, 3, limits)
        fired: list[str] = []
        for start in range(0, 480, 12):
            waiting = [
                queue.offer(offer(f"{start + at} {number}", "a" if at % 2 else "b"))
                for number, queue in enumerate(queues)
                for at in range(4)
            ]
            fired += [hook_id for receipt in await asyncio.gather(*waiting) for hook_id in receipt.fired]
        assert len(fired) == 400
        assert (await queues[0].stats()).per_hook == {"a": 200, "b": 200}


async def test_a_delivery_is_claimed_by_one(opened: Opener) -> None:
    async with AsyncExitStack() as stack:
        queues = await nodes(stack, opened, 3)
        for key in range(30):
            await queues[0].offer(offer(key))
        claims = await asyncio.gather(*(queue.claim("h", 7, 60) for queue in queues for _ in range(2)))
        ids = [one.id for claimed in claims for one in claimed]
        assert len(ids) == len(set(ids))
        rest = await queues[0].claim("h", 30, 60)
        assert len(ids) + len(rest) == 30


async def test_what_a_node_counted_that_is_gone_stays_counted(opened: Opener, clock: FakeClock) -> None:
    async with opened() as stays:
        async with opened() as goes:
            await goes.offer(offer(1, "h", "g"))
            await goes.offer(offer(2))
            await goes.claim("h", 1, 60)
            await goes.settle([delivered(id_of(1))])
        before = await stays.stats()
        clock.advance(86_401)
        assert await stays.sweep() == 0
        assert await stays.stats() == before
        await stays.offer(offer(3))
        assert (await stays.stats()).per_hook == {"h": 2, "g": 1}


async def test_a_node_that_was_idle_for_a_day_goes_on(opened: Opener, clock: FakeClock) -> None:
    async with opened() as idle, opened() as other:
        await idle.offer(offer(1))
        clock.advance(86_401)
        await other.sweep()
        assert (await idle.offer(offer(2))).fired == ("h",)
        assert (await other.stats()).per_hook == {"h": 2}


def test_answers_that_overtake_each_other_are_no_clock_that_was_set_back() -> None:
    """Each sweep would look through all deliveries that wait."""
    clock = StoreClock(FakeClock(), database=True)
    clock.was_set_back = False
    for now in (100.0, 99.5, 101.0, 100.2):
        clock.note(now)
    assert not clock.was_set_back
    clock.note(90.0)
    assert clock.was_set_back


def test_what_is_planned_as_a_nodes_clock_is_set_is_due_when_it_should() -> None:
    """A machine that was suspended sets its clock: the next answer of the store may come after the settlement."""
    clock, monotonic = FakeClock(), FakeClock()
    store = StoreClock(clock, database=True, monotonic=monotonic)
    store.note(100.0)
    monotonic.advance(1)
    clock.advance(3_600)
    assert store.to_store(clock() + 5) == pytest.approx(106)
    assert store.to_node(106) == pytest.approx(clock() + 5)
