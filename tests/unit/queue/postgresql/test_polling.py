"""What nodes that share a store poll for each other: leases and their terms, notes, forwarded changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.nodes import Node
from kong_eventhooks_plugin.queue.polling import AGE, TTL, LeaseHolder
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from kong_eventhooks_plugin.queue.postgresql.polling import PostgresPolling
from tests.support.clock import FakeClock
from tests.support.store_backup import StoreBackup
from tests.support.waiting import SECONDS


@pytest.fixture
async def nodes(postgres_store: str, clock: FakeClock) -> AsyncIterator[list[PostgresQueue]]:
    async with AsyncExitStack() as stack:
        made = []
        for name in ("one", "two"):
            made.append(PostgresQueue(postgres_store, None, clock, database_time=False, process=name))
            await made[-1].open()
            stack.push_async_callback(made[-1].close)
        yield made


@pytest.fixture
def one(nodes: list[PostgresQueue]) -> PostgresPolling:
    return nodes[0].polling


@pytest.fixture
def two(nodes: list[PostgresQueue]) -> PostgresPolling:
    return nodes[1].polling


async def test_a_lease_is_one_process_s_until_it_ends(
    one: PostgresPolling, two: PostgresPolling, clock: FakeClock
) -> None:
    began = int(clock() * 1000)
    assert await one.acquire(["crud", "balancer"], "one", "a") == {"crud": began, "balancer": began}
    assert await two.acquire(["crud", "certificate"], "two", "b") == {"certificate": began}
    clock.advance(TTL / 2)
    assert await one.acquire(["crud"], "one", "a") == {"crud": began}, "renewed in the same term"
    clock.advance(TTL / 2)
    assert await two.holders() == {"crud": LeaseHolder("one", "a", began)}
    assert await two.acquire(["crud", "balancer"], "two", "b") == {"balancer": began + TTL * 1000}
    clock.advance(TTL)
    assert await two.holders() == {}
    again = await one.acquire(["crud"], "one", "a")
    assert again == {"crud": began + 2 * TTL * 1000}, "it may have been another's: a new term"


async def test_a_lease_that_is_released_is_free_at_once(one: PostgresPolling, two: PostgresPolling) -> None:
    (first,) = (await one.acquire(["crud"], "one", "a")).values()
    await two.release(["crud"], "two")
    assert await two.acquire(["crud"], "two", "b") == {}, "it was not its own"
    await one.release(["crud"], "one")
    assert await two.acquire(["crud"], "two", "b") == {"crud": first + 1}, "another term in the same millisecond"


async def test_the_lease_of_a_process_that_has_exited_is_free_at_once(
    one: PostgresPolling, two: PostgresPolling, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = (await one.acquire(["crud"], "one", "a")).values()
    monkeypatch.setattr("kong_eventhooks_plugin.queue.postgresql.polling.exited", lambda process: process == "one")
    assert await two.acquire(["crud"], "two", "b") == {"crud": first + 1}


async def test_a_clock_that_was_set_back_holds_no_lease(
    one: PostgresPolling, two: PostgresPolling, clock: FakeClock
) -> None:
    (first,) = (await one.acquire(["crud"], "one", "a")).values()
    clock.advance(-3_600)
    assert await two.holders() == {}
    assert await two.acquire(["crud"], "two", "b") == {"crud": first + 1}


async def test_notes_are_written_in_the_term_alone(
    one: PostgresPolling, two: PostgresPolling, clock: FakeClock
) -> None:
    (first,) = (await one.acquire(["balancer"], "one", "a")).values()
    await one.write_notes("balancer", first, {"health/u": b"1", "other": b"2"})
    assert await two.note_names("balancer", "health/") == ["health/u"]
    assert await two.note("balancer", "health/u") == b"1"
    assert await two.note("certificate", "health/u") is None
    clock.advance(TTL)
    (second,) = (await two.acquire(["balancer"], "two", "b")).values()
    await two.write_notes("balancer", second, {"health/u": b"3"}, ["other"])
    for notes, dropped in (({"health/u": b"old"}, []), ({}, ["health/u"])):
        with pytest.raises(StoreUnavailable, match="another node polls now"):
            await one.write_notes("balancer", first, notes, dropped)
    clock.advance(TTL)
    await one.acquire(["balancer"], "one", "a")
    with pytest.raises(StoreUnavailable):  # it holds the lease again, and what it read is old
        await one.write_notes("balancer", first, {"health/u": b"old"})
    assert await one.note_names("balancer", "") == ["health/u"]
    assert await one.note("balancer", "health/u") == b"3"


async def test_a_store_that_goes_back_gives_no_term_a_second_time(
    one: PostgresPolling, two: PostgresPolling, clock: FakeClock, postgres_store: str
) -> None:
    await one.acquire(["balancer"], "one", "a")
    with StoreBackup(postgres_store) as backup:
        clock.advance(TTL)
        (lost,) = (await two.acquire(["balancer"], "two", "b")).values()
        backup.restore()
        clock.advance(0.001)
        (term,) = (await one.acquire(["balancer"], "one", "a")).values()
    with pytest.raises(StoreUnavailable, match="another node polls now"):
        await two.write_notes("balancer", lost, {"health/u": b"of a holder that was"})
    await one.write_notes("balancer", term, {"health/u": b"1"})


async def test_a_note_past_the_limits_is_refused(one: PostgresPolling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kong_eventhooks_plugin.queue.postgresql.polling.MAX_NOTE", 10)
    monkeypatch.setattr("kong_eventhooks_plugin.queue.postgresql.polling.MAX_NOTES", 15)
    (term,) = (await one.acquire(["balancer"], "one", "a")).values()
    await one.write_notes("balancer", term, {"a": bytes(10)})
    for size in (6, 11):
        with pytest.raises(StoreUnavailable, match="larger than"):
            await one.write_notes("balancer", term, {"b": bytes(size)}, ["c"])
    await one.write_notes("balancer", term, {"a": bytes(9)})
    await one.write_notes("balancer", term, {"b": bytes(6)})


async def test_changes_wait_in_order_until_they_are_removed(
    one: PostgresPolling, two: PostgresPolling, clock: FakeClock
) -> None:
    assert await one.send([(clock() - 1, b"a"), (clock(), b"b")]) == 2
    assert await one.send([(clock(), b"c")]) == 1
    found = await two.waiting(2)
    assert [(each.seen_at, each.change) for each in found] == [(clock() - 1, b"a"), (clock(), b"b")]
    await two.remove([each.n for each in found])
    assert [each.change for each in await two.waiting(10)] == [b"c"]


async def test_past_the_limit_old_changes_go_and_new_ones_find_no_room(
    nodes: list[PostgresQueue], two: PostgresPolling, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = nodes[0].polling
    monkeypatch.setattr(one, "_rows", 3)
    assert await one.send([(clock(), b"a"), (clock() + 1, b"b")]) == 2
    assert await one.send([(clock(), b"c"), (clock(), b"d")]) == 1
    clock.advance(AGE + 0.5)
    assert await one.send([(clock(), b"e"), (clock(), b"f"), (clock(), b"g")]) == 2
    assert [each.change for each in await two.waiting(10)] == [b"b", b"e", b"f"]


async def test_others_hear_of_forwarded_changes(nodes: list[PostgresQueue], one: PostgresPolling) -> None:
    heard = asyncio.Event()
    nodes[1].nodes.on_forwarded(heard.set)
    await nodes[1].nodes.beat(Node("two", "id", "b", "1"))  # it is connected from now on
    await one.send([(0.0, b"a")])
    await asyncio.wait_for(heard.wait(), SECONDS)
