"""Deletes what is past its retention, and fails a removed hook's deliveries: ``CHUNK`` rows a transaction.

One node sweeps at a time; another's sweep finds nothing to do. A writer that has not been seen for ``GONE_SECONDS`` is
taken for gone: what it counted is added to the sweeper's counts. One that was only idle for so long begins a new row.

Of a hook of which nothing is kept the counters go: every call that accepts adds them up, and a look for work follows
them. Its row of ``hooks`` stays, a hundred bytes or so: nodes remember its number, and a delivery that one writes under
a number that is gone would never be found. To ask whether it is still there would cost every call.
"""

import math
from collections.abc import Awaitable, Callable

from kong_eventhooks_plugin.queue.limits import FURTHEST_DUE
from kong_eventhooks_plugin.queue.postgresql.schema import LOCKS, SWEEPING
from kong_eventhooks_plugin.queue.postgresql.statements import SQL
from kong_eventhooks_plugin.queue.postgresql.transaction import Transaction
from kong_eventhooks_plugin.queue.retention import FORGOTTEN

CHUNK = 500
GONE_SECONDS = 86_400.0

Step = Callable[[Transaction], Awaitable[int]]
"""One transaction's work: returns how many rows it changed, 0 when there is nothing (more) to do."""


async def fail_some(transaction: Transaction, hook_id: str, reason: str | None) -> int:
    """Make up to ``CHUNK`` unsettled deliveries of a hook dead."""
    number = transaction.hooks.number(hook_id)
    if number is None:
        return 0
    count, size = await transaction.connection.fetchrow(SQL.fail_some, number, transaction.now, reason, CHUNK)
    transaction.shift(number, -count, -size)
    transaction.added.settle("dead", count)
    return int(count)


async def make_due(transaction: Transaction) -> int:
    """Make up to ``CHUNK`` deliveries due that wait only because the clock was set back."""
    now = transaction.now
    rows = await transaction.connection.fetch(SQL.make_due, now, now + FURTHEST_DUE, CHUNK)
    transaction.woken.update(row[0] for row in rows)
    return sum(row[1] for row in rows)


async def delete_old_settled(transaction: Transaction) -> int:
    return await _delete_settled(transaction, transaction.now - transaction.limits.settled_seconds, CHUNK)


async def delete_excess_settled(transaction: Transaction) -> int:
    """Delete the deliveries that were settled first, where there are too many."""
    delivered, dead, *_ = await transaction.connection.fetchrow(SQL.totals)
    return await _delete_settled(transaction, math.inf, delivered + dead - transaction.limits.settled_count)


async def delete_old_idle(transaction: Transaction) -> int:
    return await _delete_idle(transaction, transaction.now - transaction.limits.settled_seconds, CHUNK)


async def delete_excess_idle(transaction: Transaction) -> int:
    """Delete the oldest events that have no delivery, where there are too many."""
    _, _, idle, _ = await transaction.connection.fetchrow(SQL.totals)
    return await _delete_idle(transaction, math.inf, idle - transaction.limits.settled_count)


async def delete_ended_slots(transaction: Transaction) -> int:
    kept = transaction.now - transaction.limits.settled_seconds
    rows = await transaction.connection.fetch(SQL.delete_ended_slots, transaction.now, kept, CHUNK)
    for hook, count in rows:
        transaction.shift(hook, 0, 0, -count)
    return sum(row[1] for row in rows)


async def forget_hooks(transaction: Transaction) -> list[str]:
    """Drop the counters of hooks of which nothing is kept; return their ids."""
    return [row[0] for row in await transaction.connection.fetch(SQL.forget_hooks, FORGOTTEN)]


async def fold_writers(transaction: Transaction) -> None:
    before = transaction.now - GONE_SECONDS
    counted = await transaction.connection.fetchrow(SQL.fold_writers, transaction.writer, before)
    added = transaction.added
    added.delivered, added.dead, added.idle, added.answer_bytes = counted


STEPS: tuple[Step, ...] = (
    delete_old_settled, delete_excess_settled, delete_old_idle, delete_excess_idle, delete_ended_slots,
)  # fmt: skip
"""The steps of a sweep, each repeated until it returns 0."""


def exclusively(step: Step) -> Step:
    """Return the step for whoever sweeps; where another node does, there is nothing to do."""

    async def run(transaction: Transaction) -> int:
        if not await transaction.connection.fetchval(SQL.try_lock, LOCKS, SWEEPING):
            return 0
        return await step(transaction)

    return run


async def _delete_settled(transaction: Transaction, until: float, excess: int) -> int:
    if excess <= 0:
        return 0
    row = await transaction.connection.fetchrow(SQL.delete_settled, until, min(CHUNK, excess))
    delivered, dead, idle, size = row
    added = transaction.added
    added.delivered -= delivered
    added.dead -= dead
    added.idle += idle
    added.answer_bytes -= size
    return int(delivered + dead)


async def _delete_idle(transaction: Transaction, until: float, excess: int) -> int:
    if excess <= 0:
        return 0
    deleted = int(await transaction.connection.fetchval(SQL.delete_idle, until, min(CHUNK, excess)))
    transaction.added.idle -= deleted
    return deleted
