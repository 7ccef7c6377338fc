"""Another process holds the write lock: the loop goes on, offers wait as far as there is room."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import structlog

from kong_eventhooks_plugin.errors import QueueFull, StoreUnavailable
from kong_eventhooks_plugin.queue import limits
from kong_eventhooks_plugin.queue.contract import QueueLimits
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue, engine, group_commit
from tests.support.queue import delivered, id_of, offer
from tests.support.queue_processes import locked

Opener = Callable[..., Awaitable[SqliteQueue]]


async def rounds(count: int = 200) -> None:
    """So many rounds of the loop, each after it has looked at its sockets."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        done = loop.create_future()
        loop.call_later(0, done.set_result, None)
        await done


async def test_the_loop_goes_on_and_what_waits_is_accepted_then(queue: SqliteQueue, path: Path) -> None:
    await queue.offer(offer("before"))
    woken: list[str] = []
    queue.on_work(woken.append)
    with locked(path) as lock:
        waiting = [queue.offer(offer(key)) for key in range(3)]
        claim = asyncio.ensure_future(queue.claim("h", 1, 60))
        # Were the loop made to wait for the lock, this would never end: only we let it go.
        await rounds()
        waiting.append(queue.offer(offer("later")))
        await rounds()
        assert not any(future.done() for future in (*waiting, claim))
        assert woken == []
        lock.release()
        assert [receipt.fired for receipt in await asyncio.gather(*waiting)] == [("h",)] * 4
        assert [one.id for one in await claim] == [id_of("before")]
        assert set(woken) == {"h"}


async def test_reading_goes_on(queue: SqliteQueue, path: Path) -> None:
    await queue.offer(offer(1))
    with locked(path):
        assert (await queue.get(id_of(1))).state == "pending"
        assert (await queue.stats()).per_hook == {"h": 1}


async def test_offers_wait_as_far_as_there_is_room(opened: Opener, path: Path) -> None:
    queue = await opened(limits=QueueLimits(waiting=5))
    with locked(path) as lock:
        waiting = [queue.offer(offer(key)) for key in range(2)]
        await rounds()
        waiting += [queue.offer(offer(key)) for key in range(2, 5)]
        with pytest.raises(QueueFull) as refused:
            queue.offer(offer("one more"))
        assert refused.value.reason == "buffer"
        lock.release()
        await asyncio.gather(*waiting)
        assert (await queue.offer(offer("one more"))).fired


async def test_other_operations_wait_as_far_as_there_is_room(
    queue: SqliteQueue, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WAITING", 3)
    with locked(path) as lock:
        first = asyncio.ensure_future(queue.claim("h", 1, 60))
        await rounds()
        claims = [asyncio.ensure_future(queue.claim("h", 1, 60)) for _ in range(4)]
        await rounds()
        assert isinstance(claims.pop().exception(), StoreUnavailable)
        lock.release()
        assert await asyncio.gather(first, *claims) == [[]] * 4


async def test_closing_does_not_wait_for_ever(opened: Opener, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CLOSING", 0.1)
    queue = await opened()
    await queue.offer(offer("before"))
    with locked(path):
        inside = queue.offer(offer(1))
        await rounds()
        waits = queue.offer(offer(2))
        claim = asyncio.ensure_future(queue.claim("h", 1, 60))
        sweep = asyncio.ensure_future(queue.sweep())
        await rounds(2)
        await queue.close()
        results = await asyncio.gather(inside, waits, claim, sweep, return_exceptions=True)
        assert [type(one) for one in results] == [StoreUnavailable] * 4
    again = await opened()
    assert (await again.stats()).per_hook == {"h": 1}


async def test_what_was_told_to_have_failed_at_the_close_is_not_written_after_it(
    opened: Opener, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CLOSING", 0.1)
    monkeypatch.setattr(group_commit, "LOCK_MILLISECONDS", 20_000)
    queue = await opened()
    await queue.offer(offer("before"))
    with locked(path) as lock:
        inside = queue.offer(offer(1))
        await rounds()
        closing = asyncio.ensure_future(queue.close())
        with pytest.raises(StoreUnavailable):
            await inside
        lock.release()
        await closing
    again = await opened()
    assert (await again.stats()).per_hook == {"h": 1}


async def test_opening_a_store_that_is_in_use(
    opened: Opener, queue: SqliteQueue, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RELEASING", 0.05)
    await queue.offer(offer(1))
    await queue.claim("h", 1, 3_600)
    with locked(path) as lock:
        second = await opened()
        waiting = second.offer(offer(2))
        await rounds()
        assert (await second.get(id_of(1))).state == "leased"
        lock.release()
        assert (await waiting).fired
    assert (await second.get(id_of(1))).state == "pending"
    await queue.settle([delivered(id_of(1))])
    assert (await second.get(id_of(1))).state == "pending"


async def test_a_long_lock_is_told_of(queue: SqliteQueue, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "LOCK_LOG_SECONDS", 0.0)
    monkeypatch.setattr(group_commit, "LOCK_MILLISECONDS", 5)
    results = asyncio.Event()
    loop = asyncio.get_running_loop()

    def record(_logger: object, _method: str, entry: dict[str, object]) -> dict[str, object]:
        if entry["event"] == "store_locked":
            loop.call_soon_threadsafe(results.set)
        raise structlog.DropEvent

    monkeypatch.setattr(group_commit, "log", structlog.wrap_logger(logging.getLogger(), processors=[record]))
    with locked(path) as lock:
        waiting = queue.offer(offer(1))
        await asyncio.wait_for(results.wait(), 20)
        lock.release()
        await waiting
