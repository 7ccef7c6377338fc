"""The engines that the queue's contract suite runs on. A new one joins by its name in ``ENGINES``."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kong_eventhooks_plugin.queue.contract import Clock, Queue, QueueLimits
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from tests.support.clock import FakeClock
from tests.support.memory_queue import MemoryQueue

Maker = Callable[[QueueLimits, Clock], Queue]


def memory(_request: pytest.FixtureRequest, _folder: Path) -> Maker:
    """Queues that share nothing."""
    return MemoryQueue


def sqlite(_request: pytest.FixtureRequest, folder: Path) -> Maker:
    """Queues over one file in ``folder``."""
    return lambda limits, clock: SqliteQueue(folder / "queue.db", limits, clock)


def postgresql(request: pytest.FixtureRequest, _folder: Path) -> Maker:
    """Queues over one database, which is empty."""
    url = request.getfixturevalue("postgres_store")
    return lambda limits, clock: PostgresQueue(url, limits, clock, database_time=False)


ENGINES: dict[str, Callable[[pytest.FixtureRequest, Path], Maker]] = {
    "memory": memory,
    "sqlite": sqlite,
    "postgresql": postgresql,
}

ONE_DELIVERS = ("sqlite",)
"""The durable engines of which the leader delivers everything; for the others see ``queue.nodes``."""

DURABLE = [name for name in ENGINES if name != "memory"]


class Store:
    """One store of one engine: opens queues over it, closes them all in the end."""

    def __init__(self, make: Maker, clock: FakeClock) -> None:
        self._make = make
        self._clock = clock
        self._opened: list[Queue] = []

    async def open(self, limits: QueueLimits | None = None) -> Queue:
        """Open a queue over the store; another over the same store where the engine is durable."""
        queue = self._make(limits or QueueLimits(), self._clock)
        await queue.open()
        self._opened.append(queue)
        return queue

    async def close(self) -> None:
        """Close every queue; closing one twice does no harm."""
        for queue in self._opened:
            await queue.close()
