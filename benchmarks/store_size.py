"""Whether the store that nodes share keeps its size while it is renewed again and again.

``python benchmarks/store_size.py [--renewals 15] [--keep 10000] [--autovacuum ours|default]``

50 events a second by a clock of ours, as fast as it goes, for twenty hooks: offered, claimed, settled with an attempt
(one in twenty after a retry, one in a hundred dead), every tenth hook with a snooze; a sweep every ten simulated
seconds. ``--keep`` deliveries stay, and are replaced ``--renewals`` times; a week with the default of 100,000 has 302
renewals. What decides about dead rows is scaled with it: our tables' thresholds. autovacuum looks
once a second, in which a larger part of the store is renewed than in its minute in reality.

A line for each renewal: tables and indexes in MB, dead rows, runs of autovacuum. At the end the tables with what they
would have if they were written anew. Needs PostgreSQL's programs, and starts a server of its own.
"""

import argparse
import sys
import time
from pathlib import Path

import psycopg
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kong_eventhooks_plugin.model.delivery import Attempt
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.queue.contract import Candidate, Offer, QueueLimits, Settlement
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from kong_eventhooks_plugin.queue.postgresql.connection import SCHEMA
from tests.support import postgres
from tests.support.delivery_time import FakeTime

SETTINGS = (*postgres.NOT_DURABLE, "autovacuum=on", "autovacuum_naptime=1s", "shared_buffers=64MB", "max_wal_size=1GB")
HOOKS = [f"hook-{number:02}" for number in range(20)]
SNOOZE = SuppressionRule(on_change=True, snooze=5)
SOURCE = "rate-limiting"
DATA = {"consumer": {"id": "b3f3a9d0-93a4-4f0e-9a3c-2a3c27ffdf41", "username": "alice"}, "rate": 6, "limit": 5}
PER_SECOND = 50
SECONDS_AT_ONCE = 5
FULL_KEEP = 100_000

SIZES = """
SELECT relname, pg_table_size(relid) / 1e6, pg_indexes_size(relid) / 1e6, n_live_tup, n_dead_tup, autovacuum_count
FROM pg_stat_user_tables WHERE schemaname = %s ORDER BY pg_total_relation_size(relid) DESC
"""
SCALED = """
SELECT format('ALTER TABLE %%I.%%I SET (%%s)', nspname, relname, string_agg(
  format('%%s = %%s', split_part(option, '=', 1), greatest(50, split_part(option, '=', 2)::float * %s)::int), ', '))
FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace, unnest(reloptions) AS option
WHERE nspname = %s AND option LIKE 'autovacuum_vacuum_threshold=%%' GROUP BY nspname, relname
"""
RESET = """
SELECT format('ALTER TABLE %%I.%%I RESET (%%s)', nspname, relname, string_agg(split_part(option, '=', 1), ', '))
FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace, unnest(reloptions) AS option
WHERE nspname = %s AND option LIKE 'autovacuum_%%' GROUP BY nspname, relname
"""


def attempt(number: int, outcome: str, at: float) -> Attempt:
    """Return an attempt's record with a short answer."""
    return Attempt(number, at, 0.02, outcome, None if outcome == "delivered" else "status", None, 200, b"ok" * 50)  # type: ignore[arg-type]


class Week:
    """A store that lives by a clock of ours."""

    def __init__(self, queue: PostgresQueue, clock: FakeTime) -> None:
        self.queue, self.clock = queue, clock
        self.offered = 0

    async def step(self) -> None:
        """Live ``SECONDS_AT_ONCE`` seconds."""
        now = self.clock()
        waiting = []
        for _ in range(PER_SECOND * SECONDS_AT_ONCE):
            number, self.offered = self.offered, self.offered + 1
            hook = HOOKS[number % len(HOOKS)]
            rule = SNOOZE if number % 10 == 0 else None
            event = Event(event_id(now, str(number)), SOURCE, "rate-limit-exceeded", DATA, now)
            candidate = Candidate(hook, SOURCE, rule, str(number % 1000).encode() if rule else b"")
            waiting.append(self.queue.offer(Offer(event, (candidate,))))
        for one in waiting:
            await one
        for hook in HOOKS:
            settlements = []
            for at, delivery in enumerate(await self.queue.claim(hook, 256, 60)):
                number = delivery.attempts + 1
                if number == 1 and at % 20 == 7:
                    settlements.append(Settlement(delivery.id, "pending", attempt(1, "retry", now), due_at=now + 1))
                else:
                    state = "dead" if at % 100 == 13 else "delivered"
                    settlements.append(Settlement(delivery.id, state, attempt(number, "delivered", now), reason="gone"))
            await self.queue.settle(settlements)
        self.clock.advance(SECONDS_AT_ONCE)
        if self.offered % (10 * PER_SECOND) == 0:
            await self.queue.sweep()


def total(connection: psycopg.Connection) -> tuple[float, float, int, int]:
    """Return megabytes of tables and indexes, dead rows, runs of autovacuum."""
    connection.execute("SELECT pg_stat_clear_snapshot()")
    rows = connection.execute(SIZES, [SCHEMA]).fetchall()
    tables, indexes, dead, runs = (sum(row[column] for row in rows) for column in (1, 2, 4, 5))
    return float(tables), float(indexes), int(dead), int(runs)


async def lived(url: str, options: argparse.Namespace) -> None:
    """Live through all events; print each renewal."""
    clock = FakeTime()
    queue = PostgresQueue(
        url,
        QueueLimits(settled_count=options.keep, settled_seconds=options.keep / PER_SECOND),
        clock,
        database_time=False,
    )
    await queue.open()
    with psycopg.connect(url, autocommit=True) as connection:
        changes = (RESET, [SCHEMA]) if options.autovacuum == "default" else (SCALED, [options.keep / FULL_KEEP, SCHEMA])
        for (statement,) in connection.execute(*changes).fetchall():
            connection.execute(statement)
        week, began = Week(queue, clock), time.monotonic()
        sizes: list[float] = []
        for renewal in range(1, options.renewals + 1):
            while week.offered < renewal * options.keep:
                await week.step()
            tables, indexes, dead, runs = total(connection)
            sizes.append(tables + indexes)
            print(
                f"  {week.offered:9,} events, {time.monotonic() - began:5.0f} s: tables {tables:6.1f} MB, "
                f"indexes {indexes:6.1f} MB, {dead:7,} dead rows, {runs:5,} vacuums",
                flush=True,
            )
        settled = sizes[len(sizes) // 3 :]
        print(f"  the last two thirds: largest / smallest {max(settled) / min(settled):.2f}")
        before = {row[0]: row for row in connection.execute(SIZES, [SCHEMA]).fetchall()}
        await queue.close()
        for table in before:
            connection.execute(f"VACUUM FULL {SCHEMA}.{table}")
        for name, tables, indexes, live, _, runs in connection.execute(SIZES, [SCHEMA]).fetchall():
            had = before[name]
            print(
                f"  {name:18} {had[1]:6.2f} + {had[2]:6.2f} MB, written anew {tables:6.2f} + {indexes:6.2f}; "
                f"{live:7,} rows, {runs:4,} vacuums"
            )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renewals", type=int, default=15, help="how often these are replaced (a week: 302)")
    parser.add_argument("--keep", type=int, default=10_000, help="settled deliveries that the store keeps")
    parser.add_argument("--autovacuum", choices=("ours", "default"), default="ours")
    options = parser.parse_args()
    programs = postgres.binaries()
    if programs is None:
        parser.exit(message="store_size.py: no PostgreSQL is installed\n")
    with postgres.cluster(programs, SETTINGS) as cluster:
        print(f"\n{options.renewals} renewals of {options.keep:,} kept, autovacuum: {options.autovacuum}")
        uvloop.run(lived(cluster.url(), options))


if __name__ == "__main__":
    main()
