"""Offers, and deliveries claimed and settled, per CPU second of a process with the SQLite queue in it.

``python benchmarks/durable_queue.py [--events 20000] [--runs 5]``

Sixty-four offers wait at any time, each an event of a rate limit with one delivery; each is on the disk (WAL,
synchronous=FULL) before its future resolves. Then all of them are claimed, 64 at a time, and settled 64 at a time. The
peer does the same writing to the same schema without a queue: no limits, no filters, no check for duplicates, no loop;
``executemany`` of 64 rows and a COMMIT. Both take turns in the same run, and the median of the runs counts. CPU is the
process's, user and system, all threads.

(Not called queue.py: a script's directory comes first on Python's path, and asyncio imports a module of that name.)
"""

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import uvloop

from kong_eventhooks_plugin.model.delivery import Attempt, Delivery
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.model.scope import EventScope
from kong_eventhooks_plugin.queue.contract import Candidate, Offer, QueueLimits, Receipt, Settlement
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue, file

TOGETHER = 64
HOOK = "0f1f2a3b-4c5d-5e6f-8a9b-0c1d2e3f4a5b"
REACH = 50_000
"""Offers per CPU second: 20 microseconds each, what is left of an event's 83 when the socket took its part."""

DATA = {
    "consumer": {"id": "b3f3a9d0-93a4-4f0e-9a3c-2a3c27ffdf41", "username": "alice", "custom_id": None},
    "ip": "192.0.2.7",
    "service": {"id": "5a40bd0e-1f5b-4b0b-9a31-0a3a4de7a0c5", "name": "demo", "host": "upstream.example"},
    "rate": 6,
    "limit": 5,
    "window": "minute",
    "route": {"id": "7c8f3d52-1d2c-4b6b-8a54-20c2a0c0a5f7", "name": "demo-route"},
    "request": {"method": "GET", "path": "/demo/some/path", "id": "699a6f5b9b02ad58255431437282bb62"},
    "retry_after": 37,
    "name": None,
}
SCOPE = EventScope(service=("5a40bd0e-1f5b-4b0b-9a31-0a3a4de7a0c5", "demo"))
BODY = b'{"ok":true}'


def events(count: int) -> list[Event]:
    """Events a millisecond apart."""
    now = time.time()
    return [
        Event(event_id(now + n / 1_000, str(n)), "rate-limiting", "rate-limit-exceeded", DATA, now, SCOPE)
        for n in range(count)
    ]


async def in_flight(calls: Iterator[Callable[[], Awaitable[object]]]) -> None:
    """Make the calls, ``TOGETHER`` of them waiting at any time; by callbacks, for tasks would cost as much again."""
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = 0

    def begin(before: "asyncio.Future[object] | None" = None) -> None:
        nonlocal waiting
        if before is not None:
            before.result()
            waiting -= 1
        call = next(calls, None)
        if call is not None:
            waiting += 1
            asyncio.ensure_future(call()).add_done_callback(begin)
        elif waiting == 0 and not finished.done():
            finished.set_result(None)

    for _ in range(TOGETHER):
        begin()
    await finished


async def ours(folder: Path, told: list[Event]) -> tuple[float, float]:
    """CPU seconds of offering, and of claiming and settling."""
    queue = SqliteQueue(folder / "ours.db", QueueLimits(deliveries_per_hook=len(told)))
    await queue.open()

    def offering(event: Event) -> "Callable[[], asyncio.Future[Receipt]]":
        return lambda: queue.offer(Offer(event, (Candidate(HOOK, event.source),)))

    began = time.process_time()
    await in_flight(offering(event) for event in told)
    offered = time.process_time() - began

    began = time.process_time()
    while claimed := await queue.claim(HOOK, TOGETHER, 60):
        await queue.settle([Settlement(one.id, "delivered", _attempt(one)) for one in claimed])
    settled = time.process_time() - began
    stats = await queue.stats()
    assert stats.depth["delivered"] == len(told), stats
    await queue.close()
    return offered, settled


def _attempt(claimed: Delivery) -> Attempt:
    return Attempt(1, claimed.created_at, 0.01, "delivered", None, None, 200, BODY)


def bare(folder: Path, told: list[Event]) -> tuple[float, float]:
    """Do the same writing with nothing around it; CPU seconds as ``ours``."""
    connection = file.open_writer(folder / "bare.db")
    began = time.process_time()
    for start in range(0, len(told), TOGETHER):
        _insert(connection, start + 1, told[start : start + TOGETHER])
    offered = time.process_time() - began
    began = time.process_time()
    while _deliver(connection):
        pass
    settled = time.process_time() - began
    connection.close()
    return offered, settled


def _insert(connection: sqlite3.Connection, first: int, told: list[Event]) -> None:
    now = time.time()
    written = [(n, event, msgspec.json.encode(event.data)) for n, event in enumerate(told, first)]
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, 1)",
        [
            (n, event.id, event.source, event.event, event.time, now, data, msgspec.json.encode(event.scope))
            for n, event, data in written
        ],
    )
    connection.executemany(
        "INSERT INTO deliveries (event, hook, source, state, attempts, bytes, created_at, due_at) "
        "VALUES (?, 1, ?, 'pending', 0, ?, ?, ?)",
        [(n, event.source, len(data), now, now) for n, event, data in written],
    )
    connection.execute("COMMIT")


def _deliver(connection: sqlite3.Connection) -> int:
    now = time.time()
    connection.execute("BEGIN IMMEDIATE")
    rows = connection.execute(
        "SELECT d.event, e.data FROM deliveries AS d CROSS JOIN events AS e ON e.n = d.event "
        "WHERE d.hook = 1 AND d.settled_at IS NULL AND d.due_at <= ? ORDER BY d.due_at LIMIT ?",
        (now, TOGETHER),
    ).fetchall()
    for _, data in rows:
        msgspec.json.decode(data)
    connection.executemany(
        "UPDATE deliveries SET state = 'leased', lease = 1, lease_until = ? WHERE event = ? AND hook = 1",
        [(now + 60, n) for n, _ in rows],
    )
    connection.execute("COMMIT")
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "UPDATE deliveries SET state = 'delivered', lease = NULL, lease_until = NULL, attempts = 1, settled_at = ? "
        "WHERE event = ? AND hook = 1",
        [(now, n) for n, _ in rows],
    )
    connection.executemany(
        "INSERT INTO attempts VALUES (?, 1, 1, ?, 0.01, 'delivered', NULL, NULL, 200, ?)",
        [(n, now, BODY) for n, _ in rows],
    )
    connection.execute("COMMIT")
    return len(rows)


def main() -> None:
    """Run both in turns; print rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    seconds: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            told = events(options.events)
            seconds["ours"].append(uvloop.run(ours(Path(folder), told)))
            seconds["bare"].append(bare(Path(folder), told))
    for at, what in enumerate(("offers", "claims and settlements")):
        rates = {name: options.events / statistics.median(run[at] for run in runs) for name, runs in seconds.items()}
        ratio = statistics.median(
            bare_run[at] / our_run[at] for our_run, bare_run in zip(seconds["ours"], seconds["bare"], strict=True)
        )
        print(f"{what:24} ours {rates['ours']:8,.0f}  bare {rates['bare']:8,.0f} per CPU second, ratio {ratio:.2f}")
        if what == "offers":
            print(f"{'':24} reach {REACH:,}: {'reached' if rates['ours'] >= REACH else 'NOT reached'}")


if __name__ == "__main__":
    main()
