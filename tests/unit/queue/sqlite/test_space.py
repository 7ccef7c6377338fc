"""Disk space comes back."""

from pathlib import Path

import pytest

from kong_eventhooks_plugin.queue.contract import QueueLimits
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue, retention
from kong_eventhooks_plugin.queue.sqlite.counters import Counters
from tests.support.clock import FakeClock
from tests.support.queue import delivered, offer


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def fill(queue: SqliteQueue, count: int) -> None:
    futures = [queue.offer(offer(key, text="x" * 2_000)) for key in range(count)]
    for future in futures:
        await future
    while claimed := await queue.claim("h", 500, 60):
        await queue.settle([delivered(one.id) for one in claimed])


async def test_a_sweep_gives_space_back(path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    returned: list[int] = []

    def return_pages(counters: Counters) -> int:
        returned.append(return_some(counters))
        return returned[-1]

    return_some = retention.return_pages
    monkeypatch.setattr(retention, "SPARE_PAGES", 20)
    monkeypatch.setattr(retention, "return_pages", return_pages)
    queue = SqliteQueue(path, QueueLimits(settled_seconds=100), clock)
    await queue.open()
    await fill(queue, 1_500)
    clock.advance(100)
    assert await queue.sweep() == 3_000
    await queue.close()
    assert returned[:3] == [retention.VACUUM_PAGES] * 3  # each is a transaction
    assert len(returned) <= 6
    assert size(path) < 4_096 * 60
    assert size(path.with_name("queue.db-wal")) == 0


async def test_spare_pages_are_kept_for_what_comes(path: Path, clock: FakeClock) -> None:
    queue = SqliteQueue(path, QueueLimits(settled_seconds=100), clock)
    await queue.open()
    await fill(queue, 500)
    clock.advance(100)
    await queue.sweep()
    await queue.close()
    assert size(path) > 500 * 2_000
