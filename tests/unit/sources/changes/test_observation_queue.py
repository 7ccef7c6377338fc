"""Observations wait in order and within limits."""

from kong_eventhooks_plugin.sources.changes.observation_queue import ObservationQueue
from tests.support.crud import saw


async def test_in_order_and_there_until_done() -> None:
    waiting = ObservationQueue()
    first, second = saw(path="/consumers/a"), saw(path="/consumers/b")
    assert waiting.put(first)
    assert waiting.put(second)
    assert await waiting.oldest() is first
    assert await waiting.oldest() is first, "it stays until it is done"
    waiting.done()
    assert await waiting.oldest() is second
    waiting.done()
    assert len(waiting) == 0


async def test_refused_past_the_count_and_taken_again_when_there_is_room() -> None:
    waiting = ObservationQueue(observations=2)
    assert [waiting.put(saw()) for _ in range(3)] == [True, True, False]
    await waiting.oldest()
    waiting.done()
    assert waiting.put(saw())


async def test_refused_past_the_bytes() -> None:
    waiting = ObservationQueue(limit=10)
    assert waiting.put(saw(answer=b"x" * 6))
    assert not waiting.put(saw(answer=b"x" * 5))
    assert waiting.put(saw("DELETE", answer=None))
    assert waiting.put(saw(answer=b"x" * 4))
    await waiting.oldest()
    waiting.done()
    assert waiting.put(saw(answer=b"x" * 6))
