"""A store that is away when a node starts, and for long: what the node accepts meanwhile gets there, in order."""

import asyncio
from pathlib import Path

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.contract import EventFilter, Receipt
from kong_eventhooks_plugin.queue.forwarding import SpoolAcceptor
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from tests.support.clock import START, FakeClock
from tests.support.queue import event, offer
from tests.support.store_backup import StoreBackup
from tests.unit.queue.postgresql.conftest import Opener

EVENTS = 6
PAUSE = 720.0
"""Seconds between two: all of them take longer than the spool keeps what the store has."""


class Decided:
    """Which events the store has decided."""

    def __init__(self, acceptor: SpoolAcceptor) -> None:
        self.ids: list[str] = []
        self._more = asyncio.Event()
        acceptor.on_decided(self._add)

    def _add(self, one: Event, _: Receipt) -> None:
        self.ids.append(one.id)
        self._more.set()

    async def so_many(self, count: int) -> None:
        while len(self.ids) < count:
            self._more.clear()
            await self._more.wait()


async def test_an_hour_without_the_store_from_the_start_on(
    tmp_path: Path, clock: FakeClock, postgres_store: str, opened: Opener
) -> None:
    lost: list[str] = []
    async with opened():  # the schema is there
        pass
    shared = PostgresQueue(postgres_store, None, clock, database_time=False)
    acceptor = SpoolAcceptor(tmp_path, shared, lost.append, clock=clock)
    decided = Decided(acceptor)
    await acceptor.open()
    for key in range(EVENTS):
        assert (await acceptor.offer(offer(key))).spooled
        clock.advance(PAUSE)
        await acceptor.spool.sweep()
    waiting = await acceptor.spool.state()
    assert (waiting.offers, waiting.oldest) == (EVENTS, START)
    with StoreBackup(postgres_store) as backup:
        await shared.open()
        acceptor.forward()
        await decided.so_many(EVENTS)
        await acceptor.spool.sweep()
        backup.restore()  # and it comes back once more, with nothing
        await acceptor.offer(offer(EVENTS))
        await decided.so_many(EVENTS + 1 + EVENTS)
        page = await shared.events(EventFilter(), 100)
    assert [accepted.event.id for accepted in reversed(page.events)] == [event(key).id for key in range(EVENTS + 1)]
    assert (lost, acceptor.forwarding_error()) == ([], None)
    await acceptor.close()
    await shared.close()
