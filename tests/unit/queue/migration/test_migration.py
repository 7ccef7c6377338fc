"""What an SQLite file holds, before and after it has been moved to a PostgreSQL."""

import asyncio
import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kong_eventhooks_plugin.errors import SettingsError, StoreUnavailable
from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.queue.contract import Candidate, DeliveryFilter, EventFilter, Queue
from kong_eventhooks_plugin.queue.holders import this_process
from kong_eventhooks_plugin.queue.migration import source
from kong_eventhooks_plugin.queue.migration.migration import Migrated, migrate
from kong_eventhooks_plugin.queue.nodes import Node
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from tests.support.clock import FakeClock
from tests.support.queue import SOURCE, event, hook, offer
from tests.support.waiting import SECONDS
from tests.unit.queue.migration.conftest import API, EVENTS, SNOOZE

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BATCH", 7)


@asynccontextmanager
async def shared(url: str, clock: FakeClock) -> AsyncIterator[PostgresQueue]:
    queue = PostgresQueue(url, clock=clock, database_time=False)
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def moved(path: Path, url: str) -> Migrated:
    return await migrate(path, url, time.time, lambda *_: None)


async def file_shows(path: Path, clock: FakeClock) -> dict[str, Any]:
    queue = SqliteQueue(path, clock=clock, read_only=True)
    await queue.open()
    try:
        return await shown(queue)
    finally:
        await queue.close()


async def shown(queue: Queue) -> dict[str, Any]:
    """Everything that listings, pages and single answers show of a queue."""
    deliveries: list[Delivery] = []
    pages: list[Any] = []
    offset = None
    while True:
        page = await queue.page(DeliveryFilter(), 5, offset)
        pages.append(page)
        deliveries += page.deliveries
        if (offset := page.next_offset) is None:
            break
    wheres = (
        DeliveryFilter(hook_id="a"), DeliveryFilter(state="dead"), DeliveryFilter(state="pending"),
        DeliveryFilter(state="leased"), DeliveryFilter(source=SOURCE, since=pages[0].deliveries[0].created_at - 5),
        DeliveryFilter(event_prefix=event(3).id[:20]),
    )  # fmt: skip
    event_pages: list[Any] = []
    offset = None
    while True:
        found = await queue.events(EventFilter(), 6, offset)
        event_pages.append(found)
        if (offset := found.next_offset) is None:
            break
    of_events = (EventFilter(held_back=True), EventFilter(hook_id="b"), EventFilter(after=event(30).id))
    names = ("first", "other")
    candidates = [Candidate("b", SOURCE, SNOOZE, bytes([digest])) for digest in range(4)]
    return {
        "pages": pages,
        "attempts": {one.id: await queue.attempts(one.id) for one in deliveries},
        "single": [await queue.get(one.id) for one in deliveries],
        "filtered": [await queue.page(where, 100) for where in wheres],
        "events": event_pages,
        "events filtered": [await queue.events(where, 100) for where in of_events],
        "event": await queue.event(event(3).id),
        "slots": [await queue.suppression(one, name) for one in candidates for name in names],
        "endpoints": await queue.endpoints(),
        "made": [one for one in await queue.definitions() if one.origin.place == "api"],
        "stats": await queue.stats(),
        "work": await queue.work(),
    }


async def test_everything_shows_after_it_as_before(path: Path, postgres_store: str, clock: FakeClock) -> None:
    before = await file_shows(path, clock)
    digest = digest_of(path)
    result = await moved(path, postgres_store)
    assert result.file == result.store
    assert (result.file.events, result.known, result.resumed) == (EVENTS, 0, 0)
    assert digest_of(path) == digest
    async with shared(postgres_store, clock) as queue:
        after = await shown(queue)
        for what, value in before.items():
            assert after[what] == value, what
        assert await queue.definitions() == [API]
        # What comes is behind it, and limits count what was moved.
        await queue.offer(offer("new"))
        page = await queue.page(DeliveryFilter(), 2)
        assert [one.event.id for one in page.deliveries] == [event("new").id, before["pages"][0].deliveries[0].event.id]


async def test_the_file_is_moved_once_however_often(path: Path, postgres_store: str, clock: FakeClock) -> None:
    await moved(path, postgres_store)
    async with shared(postgres_store, clock) as queue:
        before = await shown(queue)
        result = await moved(path, postgres_store)
        assert (result.file == result.store, result.resumed) == (True, EVENTS)
        assert await shown(queue) == before


async def test_nodes_hear_of_its_hooks(path: Path, postgres_store: str, clock: FakeClock) -> None:
    async with shared(postgres_store, clock) as queue:
        heard = asyncio.Event()
        queue.nodes.on_definitions(heard.set)
        await queue.nodes.beat(Node("process", "id", "name", "1"))
        await moved(path, postgres_store)
        async with asyncio.timeout(SECONDS):
            await heard.wait()


async def test_what_the_store_has_of_an_event_stays(path: Path, postgres_store: str, clock: FakeClock) -> None:
    async with shared(postgres_store, clock) as queue:
        await queue.offer(offer(1, "a", "z", name="first", text="ü"))
        await queue.offer(offer(2, Candidate("z", SOURCE, refused="disabled"), name="first", text="ü" * 2))
        for one in await queue.claim("a", 1, 60):
            assert one.attempts == 0
        result = await moved(path, postgres_store)
        assert (result.file == result.store, result.known) == (True, 2)
        assert (await queue.get(f"{event(1).id}_a")).state == "leased"
        assert (await queue.get(f"{event(2).id}_a")).hook_id == "a"
        newest = (await queue.events(EventFilter(), 100)).events
        assert [one.event.id for one in newest if one.event.id in (event(3).id, event(2).id)] == [
            event(3).id,
            event(2).id,
        ]
        assert len(newest) == EVENTS
        await assert_counted(queue, postgres_store)


async def test_a_hook_of_another_node_with_the_same_name(path: Path, postgres_store: str, clock: FakeClock) -> None:
    other = hook("made", id="another", origin=API.origin)
    async with shared(postgres_store, clock) as queue:
        await queue.store_definitions([other], [])
        with pytest.raises(SettingsError, match="has another hook with the name 'made'"):
            await moved(path, postgres_store)
        assert (await queue.events(EventFilter(), 1)).events == ()


async def test_counts_that_differ_are_seen(path: Path, postgres_store: str, clock: FakeClock) -> None:
    await moved(path, postgres_store)
    with psycopg.connect(postgres_store, autocommit=True) as connection:
        connection.execute("SET search_path TO kong_event_hooks")
        connection.execute("DELETE FROM attempts WHERE ctid IN (SELECT ctid FROM attempts LIMIT 2)")
        connection.execute("DELETE FROM events WHERE id = %s", [event(4).id])
        connection.execute("DELETE FROM definitions")
    result = await moved(path, postgres_store)
    differing = [file - store for file, store in zip(result.file, result.store, strict=True)]
    assert (differing[0], differing[2] >= 2, differing[4]) == (1, True, 1)


async def test_retention_waits_for_the_end(path: Path, postgres_store: str, clock: FakeClock) -> None:
    async with shared(postgres_store, clock) as queue:
        clock.advance(30 * 86_400)
        deleted: list[int] = []

        async def sweep(what: str) -> None:
            deleted.append(await queue.sweep())

        tasks: list[asyncio.Task[None]] = []
        result = await migrate(
            path, postgres_store, time.time, lambda what, *_: tasks.append(asyncio.create_task(sweep(what)))
        )
        await asyncio.gather(*tasks)
        assert result.file == result.store
        assert sum(deleted) + await queue.sweep() > 0


async def test_a_file_that_a_sidecar_delivers_from_is_refused(
    path: Path, postgres_store: str, clock: FakeClock
) -> None:
    queue = SqliteQueue(path, clock=clock)
    await queue.open()
    assert await queue.lead(this_process(), 10)
    with pytest.raises(StoreUnavailable, match="a sidecar delivers from it"):
        await moved(path, postgres_store)
    await queue.close()


KILLED = """
import asyncio, os, signal, sys, time
from pathlib import Path
from kong_eventhooks_plugin.queue.migration import migration, source, target

path, url, batches, inside = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "inside"
source.BATCH = 7
add, calls = target._add_deliveries, 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

async def counted(*values):
    global calls
    answer = await add(*values)
    calls += 1
    if inside and calls == batches:
        die()
    return answer

def progress(what, done, of):
    if not inside and done >= 7 * batches:
        die()

target._add_deliveries = counted
asyncio.run(migration.migrate(path, url, time.time, progress))
"""


@pytest.mark.parametrize(
    "kills",
    [
        [(3, "inside")],
        pytest.param([(1, "inside"), (1, "after"), (1, "inside"), (3, "after"), (2, "inside")], marks=pytest.mark.long),
    ],
)
async def test_killed_in_the_middle_and_run_again(
    path: Path, postgres_store: str, clock: FakeClock, kills: list[tuple[int, str]]
) -> None:
    before = await file_shows(path, clock)
    for batches, place in kills:
        command = [sys.executable, "-c", KILLED, str(path), postgres_store, str(batches), place]
        done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL
    result = await moved(path, postgres_store)
    assert result.file == result.store
    assert 0 < result.resumed < EVENTS
    async with shared(postgres_store, clock) as queue:
        assert await shown(queue) == before
        await assert_counted(queue, postgres_store)


async def assert_counted(queue: PostgresQueue, url: str) -> None:
    """The counters are what is there."""
    stats = await queue.stats()
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path TO kong_event_hooks")
        unsettled = dict(
            connection.execute(
                "SELECT id, count(*) FROM deliveries JOIN hooks ON n = hook WHERE settled_at IS NULL GROUP BY 1"
            ).fetchall()
        )
        settled = dict(
            connection.execute(
                "SELECT state, count(*) FROM deliveries WHERE settled_at IS NOT NULL GROUP BY 1"
            ).fetchall()
        )
        idle, size, states = connection.execute(
            "SELECT (SELECT count(*) FROM events WHERE deliveries = 0), "
            "(SELECT sum(length(body) + coalesce(length(exchange), 0)) FROM attempts), "
            "(SELECT count(*) FROM suppression_slots)"
        ).fetchone() or (0, 0, 0)
        needed = connection.execute(
            "SELECT count(*) FROM events e WHERE deliveries <> (SELECT count(*) FROM deliveries d WHERE d.event = e.n)"
        ).fetchone()
        counted = connection.execute(
            "SELECT (SELECT sum(idle) FROM writers), (SELECT sum(answer_bytes) FROM writers), "
            "(SELECT sum(states) FROM counters)"
        ).fetchone()
    assert stats.per_hook == unsettled
    assert {state: stats.depth[state] for state in ("delivered", "dead")} == {"delivered": 0, "dead": 0} | settled
    assert counted == (idle, size or 0, states)
    assert needed == (0,)
