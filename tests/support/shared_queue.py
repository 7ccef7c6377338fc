"""A queue that a spool forwards to: the SQLite engine, with the positions that an engine of many nodes keeps."""

import shutil
from asyncio import Future
from pathlib import Path

from kong_eventhooks_plugin.errors import StoreUnavailable, StoreWentBack
from kong_eventhooks_plugin.queue.contract import Clock, Offer, QueueLimits, Receipt, SpoolPlace
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue


class SharedSqliteQueue(SqliteQueue):
    """``away`` is whether the store can be reached; ``offered`` has the ids of all offers that did, in order."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(path, QueueLimits(), clock)
        self.path = path
        self.away = False
        self.positions: dict[str, int] = {}
        self.offered: list[str] = []

    def offer(self, offer: Offer, place: SpoolPlace | None = None) -> "Future[Receipt]":
        self._reach()
        if place is not None:
            self._move(place)
        self.offered.append(offer.event.id)
        return super().offer(offer)

    async def spool_position(self, spool: str) -> int:
        self._reach()
        return self.positions.get(spool, 0)

    async def move_spool_position(self, place: SpoolPlace) -> None:
        self._reach()
        self._move(place)

    def _move(self, place: SpoolPlace) -> None:
        has = self.positions.get(place.spool, 0)
        if has < place.before:
            raise StoreWentBack(has)
        self.positions[place.spool] = max(has, place.n)

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
