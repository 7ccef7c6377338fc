"""The write-ahead log stays small, and nobody waits for a checkpoint that a slow disk holds up."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from kong_eventhooks_plugin.queue.sqlite import SqliteQueue, checkpoints
from tests.support.queue import delivered, offer
from tests.support.waiting import SECONDS


def log_of(path: Path) -> int:
    """Return the log's size; the file keeps its largest one up to 16 MB."""
    return path.with_name(f"{path.name}-wal").stat().st_size


async def fill(queue: SqliteQueue, name: str, count: int = 600) -> None:
    await asyncio.gather(*[queue.offer(offer(f"{name}{key}", text="x" * 2_000)) for key in range(count)])
    while claimed := await queue.claim("h", 500, 60):
        await queue.settle([delivered(one.id) for one in claimed])


checkpoints_of = checkpoints.open_checkpointer


class StalledDisk:
    """A connection whose checkpoints wait for ``goes_on``."""

    def __init__(self, path: Path) -> None:
        self.connection = checkpoints_of(path)
        self.stalls, self.goes_on = threading.Event(), threading.Event()

    def execute(self, statement: str) -> Any:
        self.stalls.set()
        assert self.goes_on.wait(SECONDS)
        return self.connection.execute(statement)

    def close(self) -> None:
        self.connection.close()


async def test_the_log_does_not_grow_with_what_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "PAUSE_SECONDS", SECONDS)  # as long as a loaded machine's disk takes
    queue = SqliteQueue(path)
    await queue.open()
    for turn in range(5):
        await fill(queue, f"turn {turn}, ")
    assert 0 < log_of(path) < 16 << 20
    await queue.close()


async def test_nothing_waits_for_a_stalled_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disks: list[StalledDisk] = []

    def opening(path: Path) -> Any:
        disks.append(StalledDisk(path))
        return disks[-1]

    monkeypatch.setattr(checkpoints, "open_checkpointer", opening)
    queue = SqliteQueue(path)
    await queue.open()
    await fill(queue, "before ")
    assert await asyncio.to_thread(disks[0].stalls.wait, SECONDS)
    async with asyncio.timeout(SECONDS):
        await fill(queue, "meanwhile ")
    disks[0].goes_on.set()
    async with asyncio.timeout(SECONDS):
        await fill(queue, "after ")
    await queue.close()
    with sqlite3.connect(path) as store:
        assert store.execute("SELECT count(*) FROM deliveries").fetchone() == (1_800,)
    store.close()
