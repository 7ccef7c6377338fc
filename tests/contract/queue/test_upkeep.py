"""Replay, fail, sweep."""

import pytest

from kong_eventhooks_plugin.errors import UnknownDelivery
from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.queue.contract import Candidate, DeliveryFilter, Offer, Queue, QueueLimits
from kong_eventhooks_plugin.queue.retention import FORGET_SECONDS
from tests.support.clock import START, FakeClock
from tests.support.queue import SOURCE, attempt, dead, deliver, delivered, event, id_of, offer, postponed
from tests.support.queue_engines import Store


async def kept(queue: Queue) -> list[str]:
    return [delivery.id for delivery in reversed((await queue.page(DeliveryFilter(), 1_000)).deliveries)]


async def test_a_replay_is_the_same_delivery_again(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1))
    await queue.claim("h", 1, 60)
    await queue.settle([dead(id_of(1))])
    clock.advance(100)
    replayed = await queue.replay(id_of(1))
    assert replayed == await queue.get(id_of(1))
    assert (replayed.id, replayed.state, replayed.due_at) == (id_of(1), "pending", START + 100)
    assert (replayed.attempts, replayed.settled_at, replayed.reason) == (1, None, None)
    (claimed,) = await queue.claim("h", 1, 60)
    assert (claimed.id, claimed.attempts) == (id_of(1), 1)
    await queue.settle([delivered(id_of(1), 2)])
    assert await queue.attempts(id_of(1)) == [attempt(1, "discard"), attempt(2, "delivered")]
    assert (await queue.replay(id_of(1))).attempts == 2
    assert (await queue.stats()).depth == {"pending": 1, "leased": 0, "delivered": 0, "dead": 0}


async def test_a_replay_leaves_what_is_not_settled(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1))
    before = await queue.get(id_of(1))
    clock.advance(10)
    assert await queue.replay(id_of(1)) == before
    await queue.claim("h", 1, 60)
    assert (await queue.replay(id_of(1))).state == "leased"
    await queue.settle([delivered(id_of(1))])
    assert (await queue.stats()).per_hook == {}


async def test_bury(queue: Queue, clock: FakeClock) -> None:
    for key in range(4):
        await queue.offer(offer(key, "h", "g"))
    await queue.claim("h", 3, 60)
    await queue.settle([delivered(id_of(0)), postponed(id_of(1), START + 99)])
    clock.advance(1)
    assert await queue.fail_pending("h", "the hook is gone") == 3
    assert await queue.fail_pending("h", "the hook is gone") == 0
    assert await queue.fail_pending("unheard of", "never was") == 0
    for key in (1, 2, 3):
        delivery = await queue.get(id_of(key))
        assert (delivery.state, delivery.reason, delivery.settled_at) == ("dead", "the hook is gone", START + 1)
    assert (await queue.get(id_of(0))).state == "delivered"
    assert (await queue.stats()).per_hook == {"g": 4}
    assert (await queue.stats()).depth == {"pending": 4, "leased": 0, "delivered": 1, "dead": 3}


async def test_a_lease_does_not_outlive_its_burial(queue: Queue) -> None:
    await queue.offer(offer(1))
    await queue.claim("h", 1, 60)
    await queue.fail_pending("h", "the hook is gone")
    await queue.settle([delivered(id_of(1))])
    assert (await queue.get(id_of(1))).state == "dead"
    assert await queue.attempts(id_of(1)) == []


@pytest.mark.long
async def test_bury_very_many(queue: Queue) -> None:
    for key in range(1_100):
        await queue.offer(offer(key, "h", "g") if key % 2 else offer(key, "h"))
    assert await queue.fail_pending("h", "gone") == 1_100
    assert (await queue.stats()).per_hook == {"g": 550}


async def test_the_settled_go_by_age(store: Store, clock: FakeClock) -> None:
    queue = await store.open(QueueLimits(settled_seconds=100))
    await deliver(queue, 1)
    clock.advance(50)
    await deliver(queue, 2)
    await queue.offer(offer("waits"))
    clock.advance(49.5)
    assert await queue.sweep() == 0
    clock.advance(0.5)
    assert await queue.sweep() == 2  # a delivery, and its event
    assert await kept(queue) == [id_of(2), id_of("waits")]
    with pytest.raises(UnknownDelivery):
        await queue.attempts(id_of(1))
    clock.advance(1e6)
    assert await queue.sweep() == 2
    assert await kept(queue) == [id_of("waits")]
    assert (await queue.stats()).depth == {"pending": 1, "leased": 0, "delivered": 0, "dead": 0}


async def test_the_settled_go_by_count_those_settled_first_first(store: Store, clock: FakeClock) -> None:
    queue = await store.open(QueueLimits(settled_count=2))
    for key in range(4):
        await queue.offer(offer(key))
    await queue.claim("h", 10, 60)
    for key in (3, 1, 0, 2):
        clock.advance(1)
        await queue.settle([delivered(id_of(key))])
    assert await queue.sweep() == 2
    assert await kept(queue) == [id_of(0), id_of(2)]
    assert await queue.sweep() == 0


async def test_what_is_not_settled_stays_however_old_or_many(store: Store, clock: FakeClock) -> None:
    queue = await store.open(QueueLimits(settled_seconds=1, settled_count=0))
    for key in range(3):
        await queue.offer(offer(key))
    await queue.claim("h", 1, 60)
    clock.advance(1e6)
    assert await queue.sweep() == 0
    assert len(await kept(queue)) == 3


async def test_an_event_stays_as_long_as_one_of_its_deliveries(store: Store, clock: FakeClock) -> None:
    queue = await store.open(QueueLimits(settled_seconds=100))
    await queue.offer(offer(1, "h", "g"))
    await queue.claim("h", 1, 60)
    await queue.settle([delivered(id_of(1))])
    clock.advance(100)
    assert await queue.sweep() == 1
    assert (await queue.get(id_of(1, "g"))).event == event(1)
    assert (await queue.offer(offer(1, "h"))).duplicate
    await queue.fail_pending("g", "gone")
    clock.advance(100)
    assert await queue.sweep() == 2
    assert not (await queue.offer(offer(1, "h"))).duplicate


async def test_events_that_nobody_needs_go_by_age_and_count(store: Store, clock: FakeClock) -> None:
    queue = await store.open(QueueLimits(settled_seconds=100, settled_count=2))
    for key in range(4):
        await queue.offer(Offer(event(key), ()))
        clock.advance(1)
    assert await queue.sweep() == 2
    assert [(await queue.offer(Offer(event(key), ()))).duplicate for key in (2, 3)] == [True, True]
    clock.advance(98)
    assert await queue.sweep() == 1
    assert [(await queue.offer(Offer(event(key), ()))).duplicate for key in (3, 2)] == [True, False]


async def test_events_whose_deliveries_went_are_needed_by_nobody(store: Store) -> None:
    queue = await store.open(QueueLimits(settled_count=2))
    await deliver(queue, 1, 2, 3, 4)
    assert await queue.sweep() == 2  # deliveries 1 and 2; their events are the two that may stay
    await deliver(queue, 5)
    assert await queue.sweep() == 2  # delivery 3 and event 1
    assert [(await queue.offer(Offer(event(key), ()))).duplicate for key in (2, 3, 4, 5, 1)] == [True] * 4 + [False]


async def test_states_of_snooze_go_when_they_are_over(queue: Queue, clock: FakeClock) -> None:
    for key, rule in enumerate((SuppressionRule(True, 60), SuppressionRule(False, 90), SuppressionRule(True, None))):
        await queue.offer(offer(key, Candidate(f"h{key}", SOURCE, rule, b"digest")))
    clock.advance(60)
    assert await queue.sweep() == 1
    clock.advance(1e6)
    assert (
        await queue.fail_pending("h0", "-") + await queue.fail_pending("h1", "-") + await queue.fail_pending("h2", "-")
        == 3
    )
    assert await queue.sweep() == 1
    receipt = await queue.offer(offer("again", Candidate("h2", SOURCE, SuppressionRule(True, None), b"digest")))
    assert receipt.held_back == {"h2": "unchanged"}


async def test_what_a_clock_set_back_left_waiting_is_due_after_a_sweep(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer("tried"))
    await queue.claim("h", 1, 60)
    await queue.settle([postponed(id_of("tried"), clock.now + 86_400)])
    for key in range(2):
        await queue.offer(offer(key))
    assert await queue.sweep() == 0
    clock.advance(-3_600)
    await queue.offer(offer("later"))
    assert [one.event.id for one in await queue.claim("h", 10, 60)] == [event("later").id]
    woken: list[str] = []
    queue.on_work(woken.append)
    assert await queue.sweep() == 0, "nothing is forgotten"
    assert woken == ["h"]
    assert {one.event.id for one in await queue.claim("h", 10, 60)} == {event(0).id, event(1).id}
    assert (await queue.get(id_of("tried"))).due_at == START + 86_400, "its pause is one that there can be"
    clock.advance(-86_400 * 365)
    await queue.lead("me", 10)
    await queue.sweep()
    assert [one.event.id for one in await queue.claim("h", 10, 60)] == [event("tried").id]


async def test_a_hook_that_was_forgotten_comes_back_as_a_new_one(store: Store, clock: FakeClock) -> None:
    queue = await store.open(QueueLimits(deliveries_per_hook=2, settled_seconds=100))
    await deliver(queue, 1, hook="gone")
    await queue.claim_first("gone", 60)
    await queue.offer(offer(2, Candidate("held back", SOURCE, refused="disabled")))
    clock.advance(FORGET_SECONDS)
    assert await queue.sweep() == 3
    await queue.offer(offer(3, "new"))
    await queue.offer(offer(4, "gone", "held back", Candidate("new", SOURCE, SuppressionRule(True, None), b"1")))
    assert (await queue.stats()).per_hook == {"gone": 1, "held back": 1, "new": 2}
    assert (await queue.offer(offer(5, "gone", "new"))).held_back == {"new": "hook_queue_full"}
    for hook, keys in {"gone": (4, 5), "held back": (4,), "new": (3, 4)}.items():
        claimed = await queue.claim(hook, 9, 60)
        assert [one.id for one in claimed] == [id_of(key, hook) for key in keys]
        await queue.settle([delivered(one.id) for one in claimed])
        assert [(await queue.get(one.id)).state for one in claimed] == ["delivered"] * len(keys)
    assert (await queue.stats()).per_hook == {}


async def test_a_hook_of_which_anything_is_kept_is_not_forgotten(store: Store, clock: FakeClock) -> None:
    queue = await store.open(QueueLimits(settled_seconds=10 * FORGET_SECONDS))
    on_change = Candidate("state", SOURCE, SuppressionRule(True, None), b"1")
    await queue.offer(offer(1, "waits", "leased", "settled", on_change))
    (leased,) = await queue.claim("leased", 1, 9 * FORGET_SECONDS)
    await queue.claim("settled", 1, 60)
    await queue.settle([dead(id_of(1, "settled"))])
    await queue.claim("state", 1, 60)
    await queue.settle([delivered(id_of(1, "state"))])
    clock.advance(FORGET_SECONDS)
    assert await queue.sweep() == 0
    assert {work.hook_id for work in await queue.work()} == {"waits"}
    await queue.settle([delivered(leased.id)])
    assert (await queue.get(leased.id)).state == "delivered"
    assert (await queue.replay(id_of(1, "settled"))).state == "pending"
    assert (await queue.stats()).per_hook == {"waits": 1, "settled": 1}
    for _ in range(11):
        clock.advance(FORGET_SECONDS)
        await queue.sweep()
    assert (await queue.offer(offer(2, on_change))).held_back == {"state": "unchanged"}


@pytest.mark.long
async def test_sweep_very_many(store: Store, clock: FakeClock) -> None:
    queue = await store.open(QueueLimits(settled_seconds=100))
    for key in range(1_200):
        await queue.offer(offer(key))
    while claimed := await queue.claim("h", 300, 60):
        await queue.settle([delivered(one.id) for one in claimed])
    await queue.offer(offer("waits"))
    clock.advance(100)
    assert await queue.sweep() == 2_400
    assert await kept(queue) == [id_of("waits")]
