"""A batch as one call: what it costs the store, and what it changes."""

import asyncpg
import pytest
from msgspec.structs import replace

from kong_eventhooks_plugin.queue.contract import Candidate, Offer
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from kong_eventhooks_plugin.queue.postgresql.connection import SCHEMA, Address
from kong_eventhooks_plugin.queue.postgresql.group_commit import GroupCommit
from tests.support.postgres_proxy import Proxy
from tests.support.queue import SOURCE, dead, delivered, event, id_of, offer
from tests.unit.queue.postgresql.conftest import Opener


async def each_part_once(queue: PostgresQueue, key: int) -> None:
    await queue.offer(offer(key))
    assert [one.id for one in await queue.claim("h", 10, 60)] == [id_of(key)]
    await queue.settle([delivered(id_of(key))])
    assert await queue.claim_first("h", 60) == []


async def test_nothing_of_a_call_is_planned_again(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []
    connect = Address.connect

    async def watched(self: Address, application: str = "test") -> asyncpg.Connection:
        connection = await connect(self, application)
        connection.add_log_listener(lambda _, message: planned.append(message.message))
        await connection.execute("SET client_min_messages = log; SET log_planner_stats = on")
        return connection

    monkeypatch.setattr(Address, "connect", watched)
    async with opened() as queue:
        await each_part_once(queue, 1)
        assert "PLANNER STATISTICS" in planned
        for key in range(2, 9):  # the server looks at five plans for what was given before it may keep one
            planned.clear()
            await each_part_once(queue, key)
        assert planned == []


async def test_a_claim_that_finds_nothing_writes_nothing(
    opened: Opener, proxy: Proxy, postgres_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    went_back: list[GroupCommit] = []
    monkeypatch.setattr(GroupCommit, "store_went_back", lambda self: went_back.append(self))
    connection = await asyncpg.connect(postgres_store)
    try:
        async with opened(proxy.url) as queue:
            await each_part_once(queue, 1)
            written = f"SELECT array_agg((n, xmin) ORDER BY n)::text FROM {SCHEMA}.writers"  # noqa: S608
            before = await connection.fetchval(written)
            assert await queue.claim("h", 10, 60) == []
            assert await queue.claim_first("h", 60) == []
            assert await connection.fetchval(written) == before
            # So the store does not know of it, and has lost nothing where a new connection asks for it.
            proxy.close_all()
            await each_part_once(queue, 2)
            assert went_back == []
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("given", "waits"), [({"_claim_hook": [1]}, "off"), ({"_settled_at": [1]}, "on"), ({"_spool": "s"}, "on")]
)
async def test_a_claim_alone_waits_for_no_disk(
    opened: Opener, postgres_store: str, given: dict[str, object], waits: str
) -> None:
    durable = {"search_path": SCHEMA, "synchronous_commit": "on"}
    connection = await asyncpg.connect(postgres_store, server_settings=durable)
    try:
        async with opened() as queue:
            await queue.offer(offer(1))
            writer = await connection.fetchrow("SELECT n, opened_at FROM writers WHERE transactions > 0")
            wanted = {
                "_writer": writer["n"], "_opened_at": writer["opened_at"], "_transaction": 9, "_claim_most": [1],
                "_claim_seconds": [60.0], "_settled_event": ["e"], "_settled_hook": [1], "_state": ["delivered"],
                "_size": [0], "_before": 0, "_last": 1, **given,
            }  # fmt: skip
            names = await connection.fetchval("SELECT proargnames[:pronargs] FROM pg_proc WHERE proname = 'write'")
            places = ", ".join(f"${place}" for place, _ in enumerate(names, 1))
            async with connection.transaction():
                await connection.fetch(f"SELECT write({places})", *(wanted.get(name) for name in names))
                assert await connection.fetchval("SHOW synchronous_commit") == waits
    finally:
        await connection.close()


async def test_a_claim_that_a_crash_takes_back_is_due_again(
    opened: Opener, proxy: Proxy, postgres_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    went_back: list[GroupCommit] = []
    monkeypatch.setattr(GroupCommit, "store_went_back", lambda self: went_back.append(self))
    connection = await asyncpg.connect(postgres_store, server_settings={"search_path": SCHEMA})
    try:
        async with opened(proxy.url) as queue:
            await queue.offer(offer(1))
            [claimed] = await queue.claim("h", 10, 60)
            # As after a crash: the offer was on disk.
            await connection.execute("UPDATE deliveries SET state = 'pending', lease = NULL, lease_until = NULL")
            await connection.execute("UPDATE writers SET transactions = transactions - 1 WHERE transactions > 1")
            proxy.close_all()
            assert await queue.claim("h", 10, 60) == [claimed]
            assert went_back == []
            await queue.settle([delivered(claimed.id)])
            assert (await queue.stats()).depth["delivered"] == 1
    finally:
        await connection.close()


async def test_a_settlement_whose_id_means_two_deliveries_ends_one(opened: Opener) -> None:
    async with opened() as queue:
        for event_id, hook_id in (("x_b", "c"), ("x", "b_c")):
            await queue.offer(Offer(replace(event(event_id), id=event_id), (Candidate(hook_id, SOURCE),)))
            assert [one.id for one in await queue.claim(hook_id, 10, 60)] == ["x_b_c"]
        states = []
        for _ in range(3):
            await queue.settle([delivered("x_b_c")])
            states.append((await queue.stats()).depth)
        assert [(each["delivered"], each["leased"]) for each in states] == [(1, 1), (2, 0), (2, 0)]


async def test_of_two_settlements_of_a_delivery_the_first_counts(opened: Opener) -> None:
    async with opened() as queue:
        await queue.offer(offer(1))
        await queue.claim("h", 1, 60)
        await queue.settle([dead(id_of(1)), delivered(id_of(1))])
        assert [one.outcome for one in await queue.attempts(id_of(1))] == ["discard"]
        assert (await queue.stats()).per_hook == {}
