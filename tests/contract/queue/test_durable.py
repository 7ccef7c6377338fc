"""What outlives the queue that wrote it, and what two queues over one store see of each other."""

import asyncio

import msgspec
import pytest

from kong_eventhooks_plugin.errors import QueueFull
from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.model.trace import begin_trace
from kong_eventhooks_plugin.queue import retention
from kong_eventhooks_plugin.queue.contract import Candidate, EndpointHealth, QueueLimits
from tests.support.clock import FakeClock
from tests.support.queue import SOURCE, attempt, deliver, delivered, held_back, hook, id_of, offer, postponed
from tests.support.queue_engines import ONE_DELIVERS, Store

SNOOZE = SuppressionRule(on_change=False, snooze=60)


async def test_everything_is_there_after_a_restart(durable: Store, clock: FakeClock) -> None:
    before = await durable.open()
    await before.offer(offer(1, "a", "b", Candidate("c", SOURCE, refused="disabled"), snow="❄"))
    await before.offer(offer(2, "a"))
    await before.claim("a", 1, 60)
    await before.settle([postponed(id_of(1, "a"), clock.now + 5)])
    await deliver(before, 3, hook="z")
    await before.store_definitions([hook("one")], [])
    await before.save_endpoint(EndpointHealth("a", failing_since=1.0))
    results = [await before.get(id_of(*key)) for key in ((1, "a"), (1, "b"), (2, "a"), (3, "z"))]
    stats, held, work = await before.stats(), await held_back(before), await before.work()
    await before.close()

    after = await durable.open()
    assert [await after.get(id_of(*key)) for key in ((1, "a"), (1, "b"), (2, "a"), (3, "z"))] == results
    assert (await after.stats(), await held_back(after), await after.work()) == (stats, held, work)
    assert await after.attempts(id_of(1, "a")) == [attempt(1)]
    assert await after.definitions() == [hook("one")]
    assert await after.endpoints() == [EndpointHealth("a", failing_since=1.0)]
    assert (await after.offer(offer(1, "a"))).duplicate


async def test_an_attempt_after_a_restart_is_in_the_same_trace(durable: Store) -> None:
    trace = begin_trace(None, 1.0, 1.5)
    before = await durable.open()
    traced, plain = offer(1), offer(2)
    await before.offer(msgspec.structs.replace(traced, event=msgspec.structs.replace(traced.event, trace=trace)))
    await before.offer(plain)
    await before.close()
    after = await durable.open()
    assert [claimed.event.trace for claimed in await after.claim("h", 9, 60)] == [trace, None]


async def test_a_snooze_outlives_a_restart(durable: Store) -> None:
    before = await durable.open()
    await before.offer(offer(1, Candidate("h", SOURCE, SNOOZE)))
    await before.close()
    after = await durable.open()
    assert (await after.offer(offer(2, Candidate("h", SOURCE, SNOOZE)))).held_back == {"h": "snoozed"}


async def test_a_hook_that_another_queue_forgets_meanwhile_loses_no_delivery(
    durable: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each offer comes while the other queue forgets the hook, of which nothing is kept after each turn."""
    monkeypatch.setattr(retention, "FORGET_SECONDS", 0.0)
    limits = QueueLimits(settled_count=0)
    accepting, sweeping = await durable.open(limits), await durable.open(limits)
    for key in range(30):
        hook_id = f"h{key % 2}"
        _, receipt, _ = await asyncio.gather(sweeping.sweep(), accepting.offer(offer(key, hook_id)), sweeping.sweep())
        assert receipt.fired == (hook_id,)
        assert [work.hook_id for work in await sweeping.work()] == [hook_id]
        (claimed,) = await (accepting, sweeping)[key // 2 % 2].claim(hook_id, 9, 60)
        await sweeping.sweep()
        await (accepting, sweeping)[key // 2 % 2].settle([delivered(claimed.id)])
        assert (await accepting.get(claimed.id)).state == "delivered"
        await accepting.sweep()
    assert (await accepting.stats()).per_hook == {}


async def test_leases_of_an_ended_process_are_due_when_the_next_opens(durable: Store) -> None:
    before = await durable.open()
    await before.offer(offer(1))
    await before.claim("h", 1, 3_600)
    await before.close()
    after = await durable.open()
    assert (await after.get(id_of(1))).state == "pending"
    assert [claimed.id for claimed in await after.claim("h", 1, 60)] == [id_of(1)]


async def test_what_was_accepted_while_the_clock_was_ahead_is_due_after_a_restart(
    durable: Store, clock: FakeClock
) -> None:
    clock.advance(86_400 * 365)
    before = await durable.open()
    await before.offer(offer(1))
    await before.close()
    clock.advance(-86_400 * 365)
    after = await durable.open()
    assert await after.claim("h", 1, 60) == []
    await after.sweep()
    assert [claimed.id for claimed in await after.claim("h", 1, 60)] == [id_of(1)]


async def test_a_process_that_only_accepts_leaves_the_deliverers_leases(durable: Store) -> None:
    delivers = await durable.open()
    await delivers.lead("delivers", 60)
    await delivers.offer(offer(1))
    await delivers.claim("h", 1, 60)
    accepts = await durable.open()
    assert (await accepts.get(id_of(1))).state == "leased"
    await delivers.settle([delivered(id_of(1))])
    assert (await accepts.get(id_of(1))).state == "delivered"


@pytest.mark.parametrize("durable", ONE_DELIVERS, indirect=True)
async def test_who_takes_over_has_the_others_leases_at_once(durable: Store, clock: FakeClock) -> None:
    killed, heir = await durable.open(), await durable.open()
    await killed.lead("killed", 10)
    await killed.offer(offer(1))
    await killed.claim("h", 1, 3_600)
    assert not await heir.lead("heir", 10)
    assert await heir.claim("h", 1, 60) == []
    clock.advance(10)
    woken: list[str] = []
    heir.on_work(woken.append)
    assert await heir.lead("heir", 10)
    assert woken == ["h"]
    assert [claimed.id for claimed in await heir.claim("h", 1, 60)] == [id_of(1)]

    # The one that was thought dead comes back: what it settles is no longer its own.
    await killed.settle([delivered(id_of(1))])
    assert (await heir.get(id_of(1))).state == "leased"
    assert await heir.attempts(id_of(1)) == []
    await heir.settle([postponed(id_of(1), clock.now)])
    assert await heir.attempts(id_of(1)) == [attempt(1)]


async def test_who_leads_on_keeps_its_leases(durable: Store, clock: FakeClock) -> None:
    queue = await durable.open()
    await queue.lead("me", 10)
    await queue.offer(offer(1))
    await queue.claim("h", 1, 3_600)
    clock.advance(9)
    await queue.lead("me", 10)
    assert await queue.claim("h", 1, 60) == []


async def test_an_event_told_to_two_processes_is_one(durable: Store) -> None:
    first, second = await durable.open(), await durable.open()
    for key in range(20):
        one, two = await asyncio.gather(first.offer(offer(key)), second.offer(offer(key)))
        assert sorted((one.duplicate, two.duplicate)) == [False, True]


async def test_two_processes_share_a_snooze(durable: Store) -> None:
    first, second = await durable.open(), await durable.open()
    for _ in range(3):
        await first.offer(offer("warm up"))
    assert (await first.offer(offer(1, Candidate("h", SOURCE, SNOOZE)))).fired
    assert (await second.offer(offer(2, Candidate("h", SOURCE, SNOOZE)))).held_back == {"h": "snoozed"}


async def test_limits_are_exact_over_two_processes(durable: Store) -> None:
    limits = QueueLimits(deliveries=50, deliveries_per_hook=30)
    queues = [await durable.open(limits), await durable.open(limits)]
    offers = [queues[key % 2].offer(offer(key, "a" if key % 4 < 2 else "b")) for key in range(200)]
    receipts = await asyncio.gather(*offers)
    fired = [hook for receipt in receipts for hook in receipt.fired]
    assert len(fired) == 50
    assert max(fired.count("a"), fired.count("b")) <= 30
    assert (await queues[0].stats()).per_hook == {"a": fired.count("a"), "b": fired.count("b")}
    reasons = {reason for receipt in receipts for reason in receipt.held_back.values()}
    assert reasons <= {"queue_full", "hook_queue_full"}


async def test_room_that_another_process_made_is_room(durable: Store) -> None:
    limits = QueueLimits(deliveries_per_hook=1)
    accepts, delivers = await durable.open(limits), await durable.open(limits)
    for key in range(3):
        assert (await accepts.offer(offer(key))).fired
        assert not (await accepts.offer(offer(f"{key} again"))).fired
        (claimed,) = await delivers.claim("h", 1, 60)
        await delivers.settle([delivered(claimed.id)])
    assert (await accepts.offer(offer("last"))).fired
    with pytest.raises(QueueFull):
        await delivers.replay(id_of(0))
