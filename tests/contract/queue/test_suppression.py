"""on_change and snooze, in the transaction that accepts the event."""

import asyncio

import pytest

from kong_eventhooks_plugin.model.suppression import Suppressed, SuppressionRule, SuppressionSlot
from kong_eventhooks_plugin.queue.contract import Candidate, DeliveryFilter, Queue, QueueLimits
from tests.support.clock import FakeClock
from tests.support.queue import NAME, SOURCE, held_back, offer
from tests.support.queue_engines import Store

A, B = b"digest-a", b"digest-b"


class Offerer:
    """Offers events to the queue, one after another, for a hook with a rule."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._count = 0

    async def offer(self, rule: SuppressionRule, digest: bytes, *, hook: str = "h", name: str = NAME) -> str:
        """Return ``fires`` or why not."""
        self._count += 1
        receipt = await self._queue.offer(offer(self._count, Candidate(hook, SOURCE, rule, digest), name=name))
        return "fires" if receipt.fired else receipt.held_back[hook]


@pytest.fixture
def offerer(queue: Queue) -> Offerer:
    return Offerer(queue)


ON_CHANGE = SuppressionRule(on_change=True, snooze=None)
SNOOZE = SuppressionRule(on_change=False, snooze=60)
BOTH = SuppressionRule(on_change=True, snooze=60)

STEPS = [
    # seconds since the step before, digest, what happens
    pytest.param(ON_CHANGE, [(0, A, "fires"), (0, A, "unchanged"), (999, A, "unchanged"), (0, B, "fires"),
                             (0, A, "fires")], id="on_change: A A B A fires three times"),
    pytest.param(SNOOZE, [(0, A, "fires"), (0, A, "snoozed"), (30, B, "snoozed"), (29.9, A, "snoozed"),
                          (0.1, A, "fires"), (59.9, A, "snoozed"), (0.1, B, "fires")], id="snooze: whatever the data"),
    pytest.param(BOTH, [(0, A, "fires"), (0, A, "snoozed"), (30, B, "fires"), (0, B, "snoozed"), (29.9, A, "snoozed"),
                        (0.1, A, "fires"), (0, B, "snoozed"), (30, B, "fires"), (29.9, A, "snoozed")],
                 id="both: each digest for itself"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "steps"), STEPS)
async def test_the_rule(
    offerer: Offerer, clock: FakeClock, rule: SuppressionRule, steps: list[tuple[float, bytes, str]]
) -> None:
    for number, (seconds, digest, expected) in enumerate(steps):
        clock.advance(seconds)
        assert await offerer.offer(rule, digest) == expected, number


async def test_without_a_rule_it_always_fires(queue: Queue) -> None:
    assert [(await queue.offer(offer(key))).fired for key in range(3)] == [("h",)] * 3


async def test_hooks_and_events_are_silenced_apart(offerer: Offerer) -> None:
    assert await offerer.offer(SNOOZE, A) == "fires"
    assert await offerer.offer(SNOOZE, A, hook="other") == "fires"
    assert await offerer.offer(SNOOZE, A, name="another") == "fires"
    assert await offerer.offer(SNOOZE, A) == "snoozed"


async def test_a_hook_that_a_limit_holds_back_has_not_fired(store: Store) -> None:
    queue = await store.open(QueueLimits(deliveries_per_hook=1))
    offerer = Offerer(queue)
    await queue.offer(offer("first"))
    assert await offerer.offer(SNOOZE, A) == "hook_queue_full"
    assert await queue.fail_pending("h", "room") == 1
    assert await offerer.offer(SNOOZE, A) == "fires"
    assert await offerer.offer(SNOOZE, A) == "snoozed"


async def test_of_two_events_told_at_once_one_fires(queue: Queue) -> None:
    futures = [queue.offer(offer(key, Candidate("h", SOURCE, SNOOZE, A))) for key in (1, 2)]
    assert sorted(len(receipt.fired) for receipt in await asyncio.gather(*futures)) == [0, 1]


async def test_past_the_limit_the_state_that_ends_soonest_is_forgotten(
    store: Store,
    clock: FakeClock,
) -> None:
    offerer = Offerer(await store.open(QueueLimits(suppression_states=2)))
    for digest in (b"1", b"2", b"3"):
        assert await offerer.offer(BOTH, digest) == "fires"
        clock.advance(1)
    assert await offerer.offer(BOTH, b"3") == "snoozed"
    assert await offerer.offer(BOTH, b"2") == "snoozed"
    assert await offerer.offer(BOTH, b"1") == "fires"
    assert await offerer.offer(BOTH, b"1", hook="other") == "fires"
    assert await offerer.offer(BOTH, b"3") == "snoozed"
    assert await offerer.offer(BOTH, b"2") == "fires"


async def test_what_was_held_back_is_counted(queue: Queue, clock: FakeClock) -> None:
    offerer = Offerer(queue)
    for digest in (A, A, B, A):
        await offerer.offer(SNOOZE, digest)
        clock.advance(1)
    await offerer.offer(ON_CHANGE, A, hook="g", name="x")
    await offerer.offer(ON_CHANGE, A, hook="g", name="x")
    await queue.offer(offer("off", Candidate("g", "named", refused="disabled")))
    assert await held_back(queue) == {
        ("g", NAME, "disabled"): 1,
        ("g", "x", "unchanged"): 1,
        ("h", NAME, "snoozed"): 3,
    }


async def test_a_duplicate_counts_nothing(queue: Queue) -> None:
    held = Candidate("h", SOURCE, refused="disabled")
    for _ in range(3):
        await queue.offer(offer(1, held))
    assert await held_back(queue) == {("h", NAME, "disabled"): 1}


async def suppressed(queue: Queue) -> list[tuple[int, float] | None]:
    """What each delivery says was held back before it, newest first."""
    page = await queue.page(DeliveryFilter(), 100)
    return [one.suppressed and (one.suppressed.count, one.suppressed.since) for one in page.deliveries]


async def test_a_delivery_has_how_many_were_held_back_before_it(queue: Queue, clock: FakeClock) -> None:
    offerer, began = Offerer(queue), clock.now
    for seconds in (0, 10, 10, 40, 60):
        clock.advance(seconds)
        await offerer.offer(SNOOZE, A)
    assert await suppressed(queue) == [None, (2, began), None]
    leased = await queue.claim("h", 10, 60)
    assert [one.suppressed for one in leased] == [None, Suppressed(2, began), None]


async def test_a_delivery_has_how_many_were_not_read(queue: Queue, clock: FakeClock) -> None:
    began = clock.now
    steps = [(0, 0), (30, 3), (30, 5), (60, 8), (60, 0)]  # seconds since the step before, unread
    for key, (seconds, unread) in enumerate(steps):
        clock.advance(seconds)
        await queue.offer(offer(key, Candidate("h", SOURCE, SNOOZE, A, unread=unread, unread_since=began + 1)))
    wanted = [None, Suppressed(0, began + 1, 8), Suppressed(1, began, 5), None]
    page = await queue.page(DeliveryFilter(), 100)
    assert [one.suppressed for one in page.deliveries] == wanted
    assert [one.suppressed for one in await queue.claim("h", 10, 60)] == wanted[::-1]


async def test_each_digest_has_its_own_count(queue: Queue, clock: FakeClock) -> None:
    offerer, began = Offerer(queue), clock.now
    for digest in (A, A, B, A, B):
        await offerer.offer(BOTH, digest)
    clock.advance(60)
    for digest in (A, B):
        await offerer.offer(BOTH, digest)
    assert await suppressed(queue) == [(1, began), (2, began), None, None]


async def test_unchanged_ones_are_counted_until_the_data_changes(queue: Queue, clock: FakeClock) -> None:
    offerer, began = Offerer(queue), clock.now
    for digest in (A, A, A, B, A):
        await offerer.offer(ON_CHANGE, digest)
    assert await suppressed(queue) == [None, (2, began), None]


async def test_duplicates_and_what_a_limit_refuses_are_not_counted_as_held_back(store: Store, clock: FakeClock) -> None:
    queue = await store.open(QueueLimits(deliveries_per_hook=1))
    began = clock.now
    candidate = Candidate("h", SOURCE, SNOOZE, A)
    for key in (1, 2, 2, 1):
        await queue.offer(offer(key, candidate))
    clock.advance(60)
    assert (await queue.offer(offer(3, candidate))).held_back == {"h": "hook_queue_full"}
    await queue.fail_pending("h", "room")
    await queue.offer(offer(4, candidate))
    assert await suppressed(queue) == [(1, began), None]


async def test_a_sweep_keeps_the_count_as_long_as_a_settled_delivery(store: Store, clock: FakeClock) -> None:
    queue = await store.open(QueueLimits(settled_seconds=1_000))
    offerer, began = Offerer(queue), clock.now
    for digest in (A, A, B, B):
        await offerer.offer(BOTH, digest)
    clock.advance(100)
    assert await queue.sweep() == 0
    await offerer.offer(BOTH, A)
    assert (await suppressed(queue))[0] == (1, began)
    clock.advance(960)
    assert await queue.sweep() == 4  # both states (A has held nothing back since), and the two held events of the start
    await offerer.offer(BOTH, B)
    assert (await suppressed(queue))[0] is None


async def test_a_replayed_delivery_keeps_its_count(queue: Queue, clock: FakeClock) -> None:
    offerer, began = Offerer(queue), clock.now
    for seconds in (0, 1, 60):
        clock.advance(seconds)
        await offerer.offer(SNOOZE, A)
    await queue.fail_pending("h", "why")
    newest = (await queue.page(DeliveryFilter(), 1)).deliveries[0]
    assert (await queue.replay(newest.id)).suppressed == Suppressed(1, began)
    assert (await queue.get(newest.id)).suppressed == Suppressed(1, began)


async def test_the_count_outlives_a_restart_and_is_shared_by_processes(durable: Store, clock: FakeClock) -> None:
    began = clock.now
    candidate = Candidate("h", SOURCE, SNOOZE, A)
    one, other = await durable.open(), await durable.open()
    for key, queue in enumerate([one, other, one, other]):
        await queue.offer(offer(key, candidate))
    await one.close()
    clock.advance(60)
    again = await durable.open()
    await again.offer(offer("after", candidate))
    assert (await suppressed(again))[0] == (3, began)


async def test_what_a_rule_remembers_can_be_read(queue: Queue, clock: FakeClock, offerer: Offerer) -> None:
    asked = Candidate("h", SOURCE, SNOOZE, A)
    assert await queue.suppression(asked, NAME) is None
    await offerer.offer(SNOOZE, A)
    fired_at = clock.now
    for _ in range(2):
        await offerer.offer(SNOOZE, B)
    for _ in range(2):
        assert await queue.suppression(asked, NAME) == SuppressionSlot(A, fired_at + 60, 2, fired_at)
    assert await queue.suppression(asked, "another") is None
    assert await queue.suppression(Candidate("h", SOURCE, BOTH, A), NAME) is None, "another slot"
    assert await queue.suppression(Candidate("h", SOURCE), NAME) is None, "it has no rule"
