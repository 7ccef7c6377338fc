"""A store that comes back with less than it had, behind a failover or from a backup: what it lost is moved again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kong_eventhooks_plugin.errors import QueueError, StoreUnavailable
from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.queue.contract import Candidate, EventFilter, QueueLimits
from kong_eventhooks_plugin.queue.forwarding.forwarder import Forwarder
from kong_eventhooks_plugin.queue.forwarding.spool import FILE, Spool
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from tests.support.clock import FakeClock
from tests.support.postgres_proxy import Proxy
from tests.support.queue import SOURCE, delivered, event, id_of, offer
from tests.support.store_backup import StoreBackup
from tests.unit.queue.postgresql.conftest import Opener

RULED = Candidate("s", SOURCE, SuppressionRule(on_change=False, snooze=60))
"""A transaction of several steps."""


@pytest.fixture
async def spool(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Spool]:
    made = Spool(tmp_path / FILE, QueueLimits(), clock, lambda: None)
    await made.open()
    yield made
    await made.close(5)


def forwarder(spool: Spool, shared: PostgresQueue) -> Forwarder:
    return Forwarder(spool, shared, lambda *_: None, lambda _: None)


async def stored(queue: PostgresQueue) -> list[str]:
    page = await queue.events(EventFilter(), 100)
    return [accepted.event.id for accepted in reversed(page.events)]


async def test_a_failover_that_lost_commits_and_only_cut_the_connections(
    opened: Opener, proxy: Proxy, spool: Spool, postgres_store: str
) -> None:
    """The lane connects anew at its first try: no call fails."""
    async with opened(proxy.url) as queue:
        moving = forwarder(spool, queue)
        await spool.add(offer(1))
        await moving.move()
        with StoreBackup(postgres_store) as backup:
            await spool.add(offer(2))
            await moving.move()
            backup.restore()
        proxy.close_all()
        await spool.add(offer(3))
        assert await moving.move() == 2
        assert await stored(queue) == [event(key).id for key in (1, 2, 3)]


@pytest.mark.parametrize("answered", [True, False], ids=["committed", "not committed"])
async def test_a_commit_of_the_forwarder_that_is_cut(
    opened: Opener, proxy: Proxy, spool: Spool, *, answered: bool
) -> None:
    async with opened(proxy.url) as queue:
        moving = forwarder(spool, queue)
        for key in (1, 2):
            await spool.add(offer(key))
        proxy.cut(event(1).id, answered=answered)
        proxy.refuse(times=1)
        with pytest.raises(StoreUnavailable):
            await moving.move()
        await spool.add(offer(3))
        assert await moving.move() == 3
        assert await stored(queue) == [event(key).id for key in (1, 2, 3)]
        assert await queue.spool_position(spool.id) == spool.position == 3


async def test_a_store_without_an_event_is_filled_from_what_the_spool_keeps(
    opened: Opener, spool: Spool, postgres_store: str
) -> None:
    async with opened() as queue:
        with StoreBackup(postgres_store) as empty:
            await spool.add(offer(1))
            await forwarder(spool, queue).move()
            empty.restore()
        assert await stored(queue) == []
        assert await forwarder(spool, queue).move() == 1  # as after a start: what was moved is compared first
        assert await stored(queue) == [event(1).id]


async def test_who_has_a_writers_number_that_was_given_away_again_settles_nothing_of_the_others(
    opened: Opener, clock: FakeClock, postgres_store: str
) -> None:
    async with opened() as first:
        await first.offer(offer(1))
        with StoreBackup(postgres_store) as backup:
            async with opened() as forgotten:
                await forgotten.claim("h", 1, 60)
                backup.restore()
                clock.advance(1)
                async with opened() as other:
                    assert [one.id for one in await other.claim("h", 1, 60)] == [id_of(1)]
                    await forgotten.settle([delivered(id_of(1))])
                    assert (await other.get(id_of(1))).state == "leased"
                    await other.settle([delivered(id_of(1))])
                    assert (await other.get(id_of(1))).state == "delivered"


async def test_a_lease_whose_end_was_lost_is_due_again_and_one_under_way_is_not(
    opened: Opener, proxy: Proxy, postgres_store: str
) -> None:
    async with opened(proxy.url) as queue:
        for key in (1, 2):
            await queue.offer(offer(key))
        assert len(await queue.claim("h", 2, 60)) == 2
        with StoreBackup(postgres_store) as backup:
            await queue.settle([delivered(id_of(1))])
            backup.restore()
        proxy.close_all()
        await queue.offer(offer(3))
        assert [one.id for one in await queue.claim("h", 9, 60)] == [id_of(1), id_of(3)]
        await queue.settle([delivered(id_of(key)) for key in (1, 2, 3)])
        assert (await queue.stats()).depth == {"pending": 0, "leased": 0, "delivered": 3, "dead": 0}


async def test_offers_that_are_written_one_by_one_keep_their_order_when_the_store_fails(
    opened: Opener, proxy: Proxy
) -> None:
    async with opened(proxy.url) as queue:
        await queue.offer(offer(0))
        proxy.cut("COMMIT", answered=False)
        proxy.refuse(times=1)
        offers = [queue.offer(one) for one in (offer(1, RULED), offer(2, "h", "h"), offer(3))]
        results = await asyncio.gather(*offers, return_exceptions=True)
        assert [type(one) for one in results] == [StoreUnavailable] * 3
        assert await stored(queue) == [event(0).id]
        with pytest.raises(QueueError, match="cannot keep"):
            await queue.offer(offer(2, "h", "h"))
