"""Connections that break: nothing is told twice, nothing is lost, and each answer is what happened."""

import asyncio
import socket
import time

import pytest

from kong_eventhooks_plugin.errors import StoreSilent, StoreUnavailable
from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.queue.contract import Candidate, DeliveryFilter, Settlement
from kong_eventhooks_plugin.queue.holders import this_process
from kong_eventhooks_plugin.queue.nodes import Node
from kong_eventhooks_plugin.queue.postgresql import connection as connections
from kong_eventhooks_plugin.queue.postgresql import reads
from kong_eventhooks_plugin.queue.postgresql.connection import Address, Connection
from kong_eventhooks_plugin.queue.postgresql.reads import Reader
from kong_eventhooks_plugin.queue.postgresql.status import read_status
from tests.support.postgres_proxy import Proxy
from tests.support.queue import SOURCE, Shelf, attempt, delivered, event, hook, id_of, offer, settled_soon
from tests.unit.queue.postgresql.conftest import Opener

SNOOZED = Candidate("s", SOURCE, SuppressionRule(on_change=False, snooze=60))
NEXT = ""
"""In every message."""


@pytest.mark.parametrize("answered", [True, False], ids=["committed", "not committed"])
async def test_a_cut_in_the_commit_of_offers(opened: Opener, proxy: Proxy, *, answered: bool) -> None:
    async with opened(proxy.url) as queue:
        await queue.offer(offer(0, SNOOZED))
        proxy.cut("COMMIT", answered=answered)
        receipts = await asyncio.gather(queue.offer(offer(1, "h", SNOOZED)), queue.offer(offer(2, "h")))
        assert proxy.cuts == 1
        assert [(one.duplicate, one.fired, one.held_back) for one in receipts] == [
            (False, ("h",), {"s": "snoozed"}),
            (False, ("h",), {}),
        ]
        assert (await queue.stats()).per_hook == {"s": 1, "h": 2}
        assert (await queue.offer(offer(1, "h"))).duplicate


@pytest.mark.parametrize("answered", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("given_up", [True, False], ids=["late", "at once"])
async def test_a_cut_in_a_call_with_offers(opened: Opener, proxy: Proxy, *, answered: bool, given_up: bool) -> None:
    """The receipts are what happened, and what was leased as it was accepted is with the delivering side or due."""
    async with opened(proxy.url) as queue:
        shelf = Shelf(h=2)
        queue.lease_to(shelf)
        await queue.offer(offer(0, "other"))
        told = [offer(0, "other"), offer(1, "h", "other"), offer(2, "h"), offer(2, "h"), offer(3, "h")]
        proxy.cut(event(1).id, answered=answered)
        if given_up:
            proxy.refuse(times=1)
            results = await asyncio.gather(*map(queue.offer, told), return_exceptions=True)
            assert [type(one) for one in results] == [StoreUnavailable] * 5
            shelf.rooms["h"] = 0
        receipts = await asyncio.gather(*map(queue.offer, told))
        assert proxy.cuts == 1
        assert [(one.duplicate, one.fired) for one in receipts[:3]] == [
            (True, ()),
            (False, ("h", "other")),
            (False, ("h",)),
        ]
        assert [(one.duplicate, one.fired) for one in receipts[4:]] == [(False, ("h",))]
        assert (await queue.stats()).per_hook == {"other": 2, "h": 3}
        taken = [one.id for _, given, _ in shelf.given for one in given]
        assert {*taken, *(one.id for one in await queue.claim("h", 9, 60))} == {id_of(key) for key in (1, 2, 3)}
        assert len(taken) == (0 if given_up else 2)


@pytest.mark.parametrize("answered", [True, False], ids=["committed", "not committed"])
async def test_a_receipt_is_what_happened_although_the_store_was_away_when_it_was_unknown(
    opened: Opener, proxy: Proxy, *, answered: bool
) -> None:
    async with opened(proxy.url) as queue:
        await queue.offer(offer(0, SNOOZED))
        proxy.cut("COMMIT", answered=answered)
        proxy.refuse()
        told = offer(1, "h", SNOOZED)
        with pytest.raises(StoreUnavailable, match="PostgreSQL"):
            await queue.offer(told)
        assert queue.error() is not None
        proxy.refuse(refuses=False)
        again = await queue.offer(told)
        assert (again.duplicate, again.fired, again.held_back) == (False, ("h",), {"s": "snoozed"})
        assert (await queue.offer(told)).duplicate
        assert queue.error() is None
        assert (await queue.stats()).per_hook == {"s": 1, "h": 1}


@pytest.mark.parametrize("answered", [True, False], ids=["committed", "not committed"])
async def test_a_cut_in_a_call_with_claims_and_settlements(opened: Opener, proxy: Proxy, *, answered: bool) -> None:
    async with opened(proxy.url) as queue:
        await queue.offer(offer(1))
        proxy.cut(NEXT, answered=answered)
        assert [one.id for one in await queue.claim("h", 9, 60)] == [id_of(1)]
        proxy.cut(NEXT, answered=answered)
        await queue.settle([delivered(id_of(1))])
        assert proxy.cuts == 2
        assert (await queue.get(id_of(1))).state == "delivered"
        assert await queue.attempts(id_of(1)) == [attempt(1, "delivered")]
        assert (await queue.stats()).depth == {"pending": 0, "leased": 0, "delivered": 1, "dead": 0}


@pytest.mark.parametrize("answered", [True, False], ids=["committed", "not committed"])
async def test_a_cut_in_the_commit_of_another_change(opened: Opener, proxy: Proxy, *, answered: bool) -> None:
    async with opened(proxy.url) as queue:
        for key in range(3):
            await queue.offer(offer(key))
        proxy.cut("COMMIT", answered=answered)
        assert await queue.fail_pending("h", "gone") == 3
        assert (await queue.stats()).depth["dead"] == 3
        proxy.cut("COMMIT", answered=answered)
        await queue.store_definitions([hook("one")], [])
        assert await queue.definitions() == [hook("one")]


async def test_what_was_leased_for_a_caller_that_had_given_up_is_due_again(opened: Opener, proxy: Proxy) -> None:
    async with opened(proxy.url) as queue:
        await queue.offer(offer(1))
        proxy.cut(NEXT, answered=True)
        proxy.refuse(times=1)
        with pytest.raises(StoreUnavailable):
            await queue.claim("h", 1, 60)
        await queue.offer(offer(2))
        assert [one.id for one in await queue.claim("h", 9, 60)] == [id_of(1), id_of(2)]


async def test_a_cut_before_the_commit_runs_the_transaction_again(opened: Opener, proxy: Proxy) -> None:
    async with opened(proxy.url) as queue:
        await queue.offer(offer(0))
        proxy.cut("BEGIN", answered=True)
        assert (await queue.offer(offer(1, SNOOZED))).fired == ("s",)
        assert proxy.cuts == 1


async def test_connections_that_were_closed_while_nobody_used_them(opened: Opener, proxy: Proxy) -> None:
    async with opened(proxy.url) as queue:
        await queue.offer(offer(0))
        await asyncio.gather(queue.stats(), queue.stats())  # on a connection each
        proxy.close_all()
        assert (await queue.offer(offer(1))).fired == ("h",)
        assert (await queue.stats()).per_hook == {"h": 2}
        assert await queue.fail_pending("h", "gone") == 2


async def test_who_was_cut_off_and_lost_its_leases_settles_nothing(
    opened: Opener, proxy: Proxy, postgres_store: str
) -> None:
    async with opened(proxy.url) as away, opened(process="other") as other:
        await away.nodes.beat(Node(this_process(), "away", "host", "1"))
        await away.offer(offer(1))
        await away.claim("h", 1, 60)
        proxy.refuse()
        proxy.close_all()
        with pytest.raises(StoreUnavailable):
            await away.settle([delivered(id_of(1))])
        (row,) = (await read_status(postgres_store)).nodes
        assert await other.nodes.set_gone(row)
        assert await other.nodes.release_leases() == ["h"]
        assert [one.event for one in await other.claim("h", 1, 60)] == [event(1)]
        proxy.refuse(refuses=False)
        await away.settle([delivered(id_of(1))])
        assert (await other.get(id_of(1))).state == "leased"
        await other.settle([delivered(id_of(1))])
        assert len((await away.page(DeliveryFilter(state="delivered"), 10)).deliveries) == 1


async def test_a_release_that_is_said_again_ends_no_later_lease(opened: Opener, proxy: Proxy) -> None:
    """Its outcome was unknown, it is told again as the settler does, and what it released is leased anew."""
    async with opened(proxy.url) as queue:
        await queue.offer(offer(1))
        await queue.claim("h", 1, 60)
        release = Settlement(id_of(1), "pending", None)
        proxy.cut(NEXT, answered=True)
        proxy.refuse(times=1)
        with pytest.raises(StoreUnavailable):
            await queue.settle([release])
        assert [one.id for one in await queue.claim("h", 1, 60)] == [id_of(1)]
        assert await settled_soon(queue, lambda: [release], prompt=True) == 1
        assert (await queue.get(id_of(1))).state == "leased"
        await queue.settle([release])  # and one more is another
        assert (await queue.get(id_of(1))).state == "pending"


async def test_reads_of_a_store_that_hangs_fail_soon_and_work_when_it_goes_on(
    opened: Opener, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "SLOW", 0.05)
    monkeypatch.setattr(reads, "ANSWERING", 0.1)
    async with opened(proxy.url) as queue:
        await queue.offer(offer(1))
        proxy.stall()
        began_at = time.monotonic()
        results = await asyncio.gather(*(queue.page(DeliveryFilter(), 10) for _ in range(5)), return_exceptions=True)
        assert {str(one) for one in results} == {f"{queue._address.name}: has not answered for 0.15 s"}
        assert {type(one) for one in results} == {StoreSilent}
        assert time.monotonic() - began_at < 5, "long before a statement or a connection is given up"
        proxy.stall(stalls=False)
        assert len((await queue.page(DeliveryFilter(), 10)).deliveries) == 1


async def test_a_read_that_takes_long_goes_on_where_the_store_answers(
    opened: Opener, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "SLOW", 0.0)
    monkeypatch.setattr(reads, "ANSWERING", 10.0)

    asked, ask = asyncio.Event(), Reader._ask

    async def asks(reader: Reader) -> None:
        await ask(reader)
        asked.set()

    async def slow(connection: Connection) -> int:
        await asked.wait()
        return int(await connection.fetchval("SELECT 1"))

    monkeypatch.setattr(Reader, "_ask", asks)
    async with opened(proxy.url) as queue:
        assert await queue._reading().read(slow) == 1
        asked.clear()
        proxy.refuse()
        assert await queue._reading().read(slow) == 1, "its own connection is what counts"


async def test_a_read_in_the_middle_of_which_the_store_hangs_fails_as_soon(
    opened: Opener, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "SLOW", 0.05)
    monkeypatch.setattr(reads, "ANSWERING", 0.1)

    async def hangs(connection: Connection) -> None:
        await connection.fetchval("SELECT 1")
        proxy.stall()
        await connection.fetchval("SELECT 2")

    async with opened(proxy.url) as queue:
        await queue.stats()
        began_at = time.monotonic()
        with pytest.raises(StoreSilent):
            await queue._reading().read(hangs)
        assert time.monotonic() - began_at < 5, "it does not wait for the rollback"
        proxy.stall(stalls=False)
        assert (await queue.stats()).per_hook == {}


async def test_a_host_that_says_nothing_leaves_time_for_the_next_and_is_asked_last_then(
    postgres_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTING", 1.0)
    async with Proxy(postgres_store) as proxy:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            live = proxy.url.partition("@")[2].partition("/")[0]
            both = f"127.0.0.1:{silent.getsockname()[1]},{live}"
            address = Address(f"{proxy.url.replace(live, both)}?target_session_attrs=read-write")
            (await address.connect()).terminate()
            monkeypatch.setattr(connections, "CONNECTING", 600.0)
            async with asyncio.timeout(10):
                (await address.connect()).terminate()
