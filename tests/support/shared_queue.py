"""A queue that a spool forwards to: the SQLite engine, with the positions that an engine of many nodes keeps."""

import shutil
from asyncio import Future
from pathlib import Path

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.contract import Clock, Offer, QueueLimits, Receipt
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue


class SharedSqliteQueue(SqliteQueue):
    """``away`` is whether the store can be reached; ``offered`` has the ids of all offers that did, in order."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(path, QueueLimits(), clock)
        self.path = path
        self.away = False
        self.positions: dict[str, int] = {}
        self.offered: list[str] = []

    def offer(self, offer: Offer) -> "Future[Receipt]":
        self._reach()
        self.offered.append(offer.event.id)
        return super().offer(offer)

    async def spool_position(self, spool: str) -> int:
        self._reach()
        return self.positions.get(spool, 0)

    async def keep_spool_position(self, spool: str, n: int) -> None:
        self._reach()
        self.positions[spool] = n

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailable("the shared store is away")


class Backup:
    """A copy of a closed store and its positions."""

    def __init__(self, queue: SharedSqliteQueue) -> None:
        self._path = queue.path.with_suffix(".backup")
        self._positions = dict(queue.positions)
        shutil.copy(queue.path, self._path)

    def restore(self, queue: SharedSqliteQueue) -> None:
        shutil.copy(self._path, queue.path)
        queue.positions = dict(self._positions)
