"""What goes wrong in one operation, in a commit, on the disk."""

import asyncio
import gc
import sqlite3
import sys
import threading
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

import pytest
import structlog

from kong_eventhooks_plugin.errors import QueueError, StoreUnavailable
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.accepting import Offered
from kong_eventhooks_plugin.queue.contract import Candidate, EndpointHealth, Offer
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from kong_eventhooks_plugin.queue.sqlite.checkpoints import PAUSE_SECONDS
from kong_eventhooks_plugin.queue.sqlite.counters import Counters
from kong_eventhooks_plugin.queue.sqlite.group_commit import Batch, GroupCommit
from kong_eventhooks_plugin.telemetry.raised import raised_at
from tests.support.queue import SOURCE, attempt, delivered, event, id_of, offer, settled_soon
from tests.support.queue_processes import lines_of, started


@pytest.fixture
def cycle(queue: SqliteQueue) -> GroupCommit:
    assert queue._group_commit is not None
    return queue._group_commit


async def test_offers_that_cannot_be_kept_harm_no_other(queue: SqliteQueue) -> None:
    bad = [
        Offer(event("x"), (Candidate("h", "\ud800"),)),
        Offer(event("y"), (Candidate("h", SOURCE), Candidate("h", SOURCE))),
        Offer(Event(id="z", source="s", event="e", data={}, time="noon"), ()),  # type: ignore[arg-type]
        Offer(Event(id=1 << 70, source="s", event="e", data={}, time=1.0), ()),  # type: ignore[arg-type]
        Offer(Event(id="w", source="s", event="e", data={1j: 2}, time=1.0), ()),  # type: ignore[dict-item]
    ]
    good = [offer(key, "h", "g") for key in range(4)]
    mixed = [one for pair in zip(good, bad, strict=False) for one in pair] + bad[len(good) :]
    results = await asyncio.gather(*(queue.offer(one) for one in mixed), return_exceptions=True)
    for one, result in zip(mixed, results, strict=True):
        if one in good:
            assert getattr(result, "fired", None) == ("h", "g")
        elif one is not bad[2]:  # SQLite keeps a text where a number is expected
            assert type(result) is QueueError
    assert (await queue.stats()).per_hook == {"h": 4, "g": 4}
    assert (await queue.offer(offer("after"))).fired


async def test_an_operation_that_fails_half_way_leaves_nothing(queue: SqliteQueue, cycle: GroupCommit) -> None:
    def fail(books: Counters) -> None:
        books.add(books.of_hook("h"), 1_000)
        books.totals.dead += 1
        books.connection.execute("INSERT INTO leadership VALUES (1, 'nobody', 1e12)")
        raise KeyError("a bug of ours")

    await queue.offer(offer("before"))
    woken: list[str] = []
    queue.on_work(woken.append)
    failing = cycle.submit(fail)
    remember = asyncio.ensure_future(queue.save_endpoint(EndpointHealth("h")))
    others = [queue.offer(offer(key, "g")) for key in range(3)]
    with pytest.raises(QueueError, match="a bug of ours"):
        await failing
    await remember
    assert [receipt.fired for receipt in await asyncio.gather(*others)] == [("g",)] * 3
    assert woken == ["g"]
    stats = await queue.stats()
    assert (stats.per_hook, stats.depth["dead"]) == ({"h": 1, "g": 3}, 0)
    assert await queue.lead("me", 10)


async def test_a_failing_sweep_step_fails_alone(queue: SqliteQueue, cycle: GroupCommit) -> None:
    def fail(books: Counters) -> None:
        books.connection.execute("INSERT INTO leadership VALUES (1, 'nobody', 1e12)")
        raise KeyError("a bug of ours")

    failing = cycle.submit(fail, heavy=True)
    assert (await queue.offer(offer(1))).fired
    with pytest.raises(QueueError, match="a bug of ours"):
        await failing
    assert await queue.lead("me", 10)


async def test_a_settlement_that_cannot_be_kept_fails_alone(queue: SqliteQueue) -> None:
    for key in range(3):
        await queue.offer(offer(key))
    await queue.claim("h", 3, 60)
    bad = delivered(id_of(1), detail="\ud800")
    results = await asyncio.gather(
        *(queue.settle([one]) for one in (delivered(id_of(0)), bad, delivered(id_of(2)))), return_exceptions=True
    )
    assert [type(one) for one in results] == [type(None), QueueError, type(None)]
    assert [(await queue.get(id_of(key))).state for key in range(3)] == ["delivered", "leased", "delivered"]
    assert await queue.attempts(id_of(1)) == []
    await queue.settle([delivered(id_of(1))])
    assert await queue.attempts(id_of(1)) == [attempt(1, "delivered")]


async def test_a_commit_that_fails(queue: SqliteQueue, cycle: GroupCommit, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    await queue.offer(offer("before"))
    with monkeypatch.context() as patched:
        patched.setattr(cycle, "_commit", fail)
        results = await asyncio.gather(
            queue.offer(offer(1)), queue.lead("me", 10), queue.offer(offer(2)), return_exceptions=True
        )
        assert [type(one) for one in results] == [StoreUnavailable] * 3
        assert "disk I/O error" in str(results[0])
    assert (await queue.stats()).per_hook == {"h": 1}
    receipts = await asyncio.gather(*(queue.offer(offer(key)) for key in (1, 2)))
    assert [(receipt.duplicate, receipt.fired) for receipt in receipts] == [(False, ("h",))] * 2
    assert (await queue.stats()).per_hook == {"h": 3}


async def test_a_full_disk(queue: SqliteQueue, cycle: GroupCommit) -> None:
    await queue.offer(offer("before"))
    connection = cycle._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 30}")
    accepted, refused = [], []
    while not refused:
        futures = {key: queue.offer(offer(key, text="x" * 500)) for key in range(len(accepted), len(accepted) + 20)}
        for key, results in zip(futures, await asyncio.gather(*futures.values(), return_exceptions=True), strict=True):
            (refused if isinstance(results, StoreUnavailable) else accepted).append(key)
    assert len(accepted) > 20
    assert (await queue.stats()).per_hook == {"h": 1 + len(accepted)}
    assert "disk is full" in (queue.error() or "")
    assert not (await queue.offer(offer(accepted[0]))).fired, "a duplicate, which needs no disk"
    assert "disk is full" in (queue.error() or "")
    connection.execute(f"PRAGMA max_page_count = {pages + 3_000}")
    for key in refused:
        receipt = await queue.offer(offer(key, text="x" * 500))
        assert (receipt.duplicate, receipt.fired) == (False, ("h",))
        assert queue.error() is None
    for key in (*accepted, *refused):
        assert (await queue.get(id_of(key))).state == "pending"


async def test_a_store_that_cannot_be_written_as_it_opens_is_open_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_books: Counters) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context["message"]))
    queue = SqliteQueue(path)
    with monkeypatch.context() as patched:
        patched.setattr("kong_eventhooks_plugin.queue.sqlite.engine._release_orphaned_leases", fail)
        await queue.open()
    assert (await queue.offer(offer(1))).fired
    await queue.close()
    gc.collect()
    assert complaints == []


async def test_an_old_fault_is_no_news(queue: SqliteQueue, cycle: GroupCommit, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(cycle, "_commit", fail)
        with pytest.raises(StoreUnavailable):
            await queue.offer(offer(1))
    assert "disk I/O error" in (queue.error() or "")
    monkeypatch.setattr("kong_eventhooks_plugin.queue.store_status.FAILING_SECONDS", 0.0)
    assert queue.error() is None


async def test_what_is_not_open_takes_nothing(path: Path) -> None:
    queue = SqliteQueue(path)
    assert queue.error() == f"{path}: is not open"


async def test_what_cannot_be_opened_says_why(path: Path) -> None:
    await asyncio.to_thread(path.write_bytes, b"dear diary, " * 100)
    queue = SqliteQueue(path)
    with pytest.raises(StoreUnavailable):
        await queue.open()
    assert queue.error() == f"{path}: is not an SQLite file; choose another"
    with pytest.raises(StoreUnavailable, match="is not an SQLite file"):
        await queue.stats()
    await asyncio.to_thread(path.unlink)
    await queue.open()
    assert queue.error() is None
    await queue.close()


FULL = """
import asyncio, resource, sys
from pathlib import Path
from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from tests.support.queue import offer

def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main():
    queue = SqliteQueue(Path(sys.argv[1]))
    await queue.open()
    room(600_000)
    refused = 0
    for start in range(0, 3_000, 50):
        futures = [queue.offer(offer(key, text="x" * 400)) for key in range(start, start + 50)]
        for key, results in enumerate(await asyncio.gather(*futures, return_exceptions=True), start):
            if isinstance(results, StoreUnavailable):
                refused += 1
            else:
                print("accepted", key, flush=True)
    room(resource.RLIM_INFINITY)
    print("refused", refused, flush=True)
    print("works", (await queue.offer(offer("after"))).fired, flush=True)
    await queue.close()

asyncio.run(main())
"""


async def test_files_that_cannot_grow(path: Path) -> None:
    with started(FULL, path) as process:
        lines = [line.rstrip() for line in lines_of(process) if line.startswith(("accepted", "refused", "works"))]
        assert process.wait(60) == 0
    assert lines[-1] == "works ('h',)"
    assert int(lines[-2].split()[1]) > 0
    accepted = [int(line.split()[1]) for line in lines[:-2]]
    assert len(accepted) > 50
    queue = SqliteQueue(path)
    await queue.open()
    try:
        for key in accepted:
            assert (await queue.get(id_of(key))).state == "pending"
        assert (await queue.stats()).per_hook == {"h": len(accepted) + 1}
    finally:
        await queue.close()


async def test_a_listener_that_fails_stops_nothing(queue: SqliteQueue) -> None:
    def fail(_hook: str) -> None:
        raise RuntimeError

    woken: list[str] = []
    queue.on_work(fail)
    queue.on_work(woken.append)
    await queue.offer(offer(1))
    await queue.offer(offer(2))
    assert woken == ["h", "h"]


async def test_too_many_reads(queue: SqliteQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kong_eventhooks_plugin.queue.sqlite.reads.WAITING", 3)
    results = await asyncio.gather(*(queue.work() for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in results] == [list] * 3 + [StoreUnavailable] * 2
    assert await queue.work() == []


async def test_a_clock_that_fails_fails_the_transaction(queue: SqliteQueue, cycle: GroupCommit) -> None:
    def broken() -> float:
        raise ZeroDivisionError

    clock: Callable[[], float] = cycle._clock
    cycle._clock = broken
    with pytest.raises(QueueError):
        await queue.offer(offer(1))
    cycle._clock = clock
    assert (await queue.offer(offer(1))).fired


@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("_checkpoints", "pause"),
        ("_group", "_take"),
        ("_group", "_begin"),
        ("_thread", "run"),
        ("_checkpoints", "committed"),
        ("_counters", "take_woken"),
    ],
)
async def test_a_bug_in_the_cycle_fails_what_waits_and_the_cycle_goes_on(
    queue: SqliteQueue, cycle: GroupCommit, monkeypatch: pytest.MonkeyPatch, part: str, method: str
) -> None:
    broken = cycle if part == "_group" else attrgetter(part)(cycle)
    bug = RuntimeError("secret")

    def fail(*_: object, **__: object) -> None:
        raise bug

    cycle._checkpoints.wants_pause = method == "pause"
    with structlog.testing.capture_logs() as logs:
        with monkeypatch.context() as patched:
            patched.setattr(broken, method, fail)
            waiting = [queue.offer(offer(key)) for key in range(3)]
            settling = settled_soon(queue, list, prompt=True)
            others = [
                cycle.submit(lambda _: None),
                cycle.submit(lambda _: None, heavy=True),
                cycle.submit(lambda _: None, yields=True),
            ]
            ended = await asyncio.wait_for(asyncio.gather(*waiting, settling, *others, return_exceptions=True), 10)
        text = f"{cycle._path}: RuntimeError raised in {raised_at(bug)}"
        assert text in {str(one) for one in ended if isinstance(one, StoreUnavailable)}
        if method != "take_woken":  # which comes after the answers
            assert {str(one) for one in ended} == {text}
        assert (queue.error(), cycle.waiting) == (text, 0)
        assert [one["exc_info"] for one in logs if one["event"] == "store_unavailable"] == [bug]
        assert (await asyncio.wait_for(queue.offer(offer("after")), 10)).fired
    assert queue.error() is None
    assert logs[-1]["event"] == "store_recovered"
    assert await cycle.submit(lambda _: 1, heavy=True) == 1


async def test_a_checkpoint_that_cannot_begin_does_not_begin_a_second_cycle(
    queue: SqliteQueue, cycle: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[float] = []
    begin = cycle._begin

    def begins(batch: Batch) -> None:
        began.append(cycle._loop.time())
        begin(batch)

    checkpoints = cycle._checkpoints
    checkpoints.wants_pause = True
    with structlog.testing.capture_logs(), monkeypatch.context() as patched:
        patched.setattr(checkpoints._thread, "run", lambda *_: 1 // 0)
        with pytest.raises(StoreUnavailable, match="ZeroDivisionError"):
            await asyncio.wait_for(queue.offer(offer(1)), 10)
    held, release = asyncio.Event(), threading.Event()

    def hold(_: Counters) -> None:
        cycle._loop.call_soon_threadsafe(held.set)
        assert release.wait(10)

    monkeypatch.setattr(cycle, "_begin", begins)
    holding = cycle.submit(hold, heavy=True)
    await held.wait()
    waiting = queue.offer(offer(2))
    over = asyncio.Event()
    cycle._loop.call_later(2 * PAUSE_SECONDS, over.set)
    await over.wait()
    release.set()
    assert len(began) == 1, "while one is under way no other begins"
    await asyncio.wait_for(asyncio.gather(holding, waiting), 10)
    assert not checkpoints._running


async def test_a_bug_that_stays_is_logged_once(
    queue: SqliteQueue, cycle: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cycle, "_take", lambda: 1 // 0)
    with structlog.testing.capture_logs() as logs:
        for key in range(3):
            with pytest.raises(StoreUnavailable, match="ZeroDivisionError"):
                await asyncio.wait_for(queue.offer(offer(key)), 10)
    assert [type(one["exc_info"]) for one in logs] == [ZeroDivisionError]


async def test_a_bug_that_takes_offers_loses_none_of_them(queue: SqliteQueue, cycle: GroupCommit) -> None:
    good, odd = queue.offer(offer(1)), asyncio.get_running_loop().create_future()
    cycle.offer(Offered(None, b"", None, odd))  # type: ignore[arg-type]
    operation = cycle.submit(lambda _: None)
    ended = await asyncio.wait_for(asyncio.gather(good, odd, operation, return_exceptions=True), 10)
    assert [type(one) for one in ended] == [StoreUnavailable] * 3
    assert (await queue.offer(offer(1))).fired


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
async def test_a_store_that_is_no_file(path: Path) -> None:
    queue = SqliteQueue(Path("/dev/full"))
    with pytest.raises(StoreUnavailable):
        await queue.open()
    await queue.close()
