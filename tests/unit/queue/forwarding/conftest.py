from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kong_eventhooks_plugin.queue.contract import QueueLimits
from kong_eventhooks_plugin.queue.forwarding.forwarder import Forwarder
from kong_eventhooks_plugin.queue.forwarding.spool import FILE, Spool
from tests.support.clock import FakeClock
from tests.support.queue import offer
from tests.support.shared_queue import SharedSqliteQueue


class World:
    """A spool and a shared store, and what moves offers from one to the other when a test says so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.shared = SharedSqliteQueue(folder / "shared.db", self.clock)
        self.decided: list[str] = []
        self.lost: list[str] = []
        self.spools: list[Spool] = []
        self.added = 0

    async def open(self, limits: QueueLimits | None = None) -> Spool:
        self.spool = Spool(self.folder / FILE, limits or QueueLimits(), self.clock, self._count, self.clock)
        await self.spool.open()
        self.spools.append(self.spool)
        self.forwarder = Forwarder(
            self.spool, self.shared, lambda event, _: self.decided.append(event.id), self.lost.append
        )
        return self.spool

    async def accept(self, *numbers: int) -> None:
        for number in numbers:
            await self.spool.add(offer(number, "hook"))

    async def waiting(self) -> int:
        return (await self.spool.state()).offers

    async def close(self) -> None:
        for spool in self.spools:
            await spool.close(5)
        await self.shared.close()

    def _count(self) -> None:
        self.added += 1


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.shared.open()
    await made.open()
    yield made
    await made.close()
