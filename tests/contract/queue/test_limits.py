"""Limits: exact, with their reason, and never at the cost of what was accepted."""

import asyncio

import pytest
from msgspec.structs import replace

from kong_eventhooks_plugin.errors import QueueFull
from kong_eventhooks_plugin.model.delivery import SentRequest
from kong_eventhooks_plugin.queue.contract import LOSSES, Queue, QueueLimits
from tests.support.queue import deliver, delivered, event, held_back, id_of, offer
from tests.support.queue_engines import Store

SIZE = len('{"key":"0"}')


async def result_of(queue: Queue, key: object, hook: str = "h") -> str:
    receipt = await queue.offer(offer(key, hook))
    return "fired" if receipt.fired else receipt.held_back[hook]


async def test_a_hooks_own_limit(store: Store) -> None:
    queue = await store.open(QueueLimits(deliveries_per_hook=2))
    assert [await result_of(queue, key) for key in range(4)] == ["fired", "fired", "hook_queue_full", "hook_queue_full"]
    assert await result_of(queue, 4, "other") == "fired"


async def test_the_number_of_deliveries(store: Store) -> None:
    queue = await store.open(QueueLimits(deliveries=3))
    assert [await result_of(queue, key, f"hook-{key}") for key in range(4)] == ["fired"] * 3 + ["queue_full"]


async def test_their_bytes(store: Store) -> None:
    queue = await store.open(QueueLimits(bytes=3 * SIZE - 1))
    assert [await result_of(queue, key) for key in range(3)] == ["fired", "fired", "queue_bytes"]
    assert (await queue.stats()).unsettled_bytes == 2 * SIZE


async def test_bytes_count_for_each_delivery(store: Store) -> None:
    queue = await store.open(QueueLimits(bytes=2 * SIZE))
    receipt = await queue.offer(offer(0, "a", "b", "c"))
    assert receipt.fired == ("a", "b")
    assert receipt.held_back == {"c": "queue_bytes"}


async def test_a_limit_that_fits_exactly(store: Store) -> None:
    queue = await store.open(QueueLimits(bytes=3 * SIZE, deliveries=3, deliveries_per_hook=3))
    assert [await result_of(queue, key) for key in range(3)] == ["fired"] * 3


async def test_whose_flood_it_is_comes_first(store: Store) -> None:
    queue = await store.open(QueueLimits(deliveries=1, deliveries_per_hook=1, bytes=SIZE))
    await result_of(queue, 0)
    assert await result_of(queue, 1) == "hook_queue_full"
    assert await result_of(queue, 2, "other") == "queue_full"


async def test_limits_are_exact_among_many_at_once(store: Store) -> None:
    queue = await store.open(QueueLimits(deliveries=50, deliveries_per_hook=30))
    receipts = await asyncio.gather(*(queue.offer(offer(key, "a", "b")) for key in range(100)))
    fired = [hook for receipt in receipts for hook in receipt.fired]
    assert (fired.count("a"), fired.count("b"), len(fired)) == (25, 25, 50)
    assert [len(receipt.fired) for receipt in receipts] == [2] * 25 + [0] * 75


async def test_what_settles_makes_room(store: Store) -> None:
    queue = await store.open(QueueLimits(deliveries=1, bytes=SIZE, deliveries_per_hook=1))
    for key in range(3):
        assert await result_of(queue, key) == "fired"
        assert await result_of(queue, f"{key}-again") == "hook_queue_full"
        (claimed,) = await queue.claim("h", 1, 60)
        assert await result_of(queue, f"{key}-leased") == "hook_queue_full"
        await queue.settle([delivered(claimed.id)])


async def test_what_is_buried_makes_room(store: Store) -> None:
    queue = await store.open(QueueLimits(deliveries=1, bytes=SIZE, deliveries_per_hook=1))
    await result_of(queue, 0)
    await queue.fail_pending("h", "the hook is gone")
    assert await result_of(queue, 1) == "fired"


async def test_what_was_accepted_stays(store: Store) -> None:
    queue = await store.open(QueueLimits(deliveries_per_hook=2))
    for key in range(5):
        await result_of(queue, key)
    assert [claimed.event.id for claimed in await queue.claim("h", 10, 60)] == [event(0).id, event(1).id]


async def test_losses_are_counted(store: Store) -> None:
    queue = await store.open(QueueLimits(deliveries=2, deliveries_per_hook=1))
    for key in range(3):
        await queue.offer(offer(key, "a", "b", "c"))
    counted = {(hook_id, reason): count for (hook_id, _, reason), count in (await held_back(queue)).items()}
    assert counted == {("a", "hook_queue_full"): 2, ("b", "hook_queue_full"): 2, ("c", "queue_full"): 3}
    assert {reason for _, reason in counted} <= LOSSES


async def test_a_replay_needs_room_too(store: Store) -> None:
    queue = await store.open(QueueLimits(deliveries_per_hook=1))
    await deliver(queue, 1)
    await result_of(queue, 2)
    with pytest.raises(QueueFull) as refused:
        await queue.replay(id_of(1))
    assert refused.value.reason == "hook_queue_full"
    assert (await queue.get(id_of(1))).state == "delivered"


async def test_past_their_limit_answers_are_kept_without_their_body(store: Store) -> None:
    queue = await store.open(QueueLimits(answer_bytes=10, settled_count=1))
    for key, body in ((1, b"123456"), (2, b"12345"), (3, b"1234"), (4, b"1")):
        await queue.offer(offer(key))
        (claimed,) = await queue.claim("h", 1, 60)
        await queue.settle([delivered(claimed.id, body=body)])
    assert [(await queue.attempts(id_of(key)))[0].body for key in (1, 2, 3, 4)] == [b"123456", b"", b"1234", b""]
    await queue.sweep()
    await queue.offer(offer(5))
    (claimed,) = await queue.claim("h", 1, 60)
    await queue.settle([delivered(claimed.id, body=b"1234567890")])
    assert (await queue.attempts(id_of(5)))[0].body == b"1234567890"


async def test_an_attempt_keeps_what_was_sent_and_the_answers_headers(store: Store) -> None:
    queue = await store.open(QueueLimits())
    await queue.offer(offer(1, "h", "other"))
    headers, sent = (("content-type", "text/plain"), ("x", "\xe9")), SentRequest("POST", "http://x/***", (), b"{}", 2)
    for hook, request in (("h", sent), ("other", replace(sent, of_event=True))):
        (claimed,) = await queue.claim(hook, 1, 60)
        await queue.settle([delivered(claimed.id, headers=(*headers, ("y", "z" * 9_000), ("a", "b")), request=request)])
    for hook, body in (("h", b"{}"), ("other", b"")):
        (kept,) = await queue.attempts(id_of(1, hook))
        assert (kept.headers, kept.request.url, kept.request.body, kept.request.size) == (headers, sent.url, body, 2)


async def test_past_the_limit_an_attempt_is_kept_without_what_was_sent(store: Store) -> None:
    queue = await store.open(QueueLimits(answer_bytes=100, settled_count=0))
    sent = SentRequest("POST", "http://x/", (), b"." * 90, 90)
    for key in (1, 2):
        await queue.offer(offer(key))
        (claimed,) = await queue.claim("h", 1, 60)
        await queue.settle([delivered(claimed.id, body=b"", request=replace(sent, body=b"." * (40 * key)))])
    first, second = [(await queue.attempts(id_of(key)))[0] for key in (1, 2)]
    assert (first.request.size, second.request) == (90, None)
    await queue.sweep()
    await queue.offer(offer(3))
    (claimed,) = await queue.claim("h", 1, 60)
    await queue.settle([delivered(claimed.id, body=b"", request=replace(sent, body=b"." * 40))])
    assert (await queue.attempts(id_of(3)))[0].request is not None
