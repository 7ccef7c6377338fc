"""Ends leases inside a transaction: the new state and the attempt's record, together.

A settlement counts only where the lease is still this opening's of the store and the attempt's number is the next one:
a process that lost its lease, or a second attempt of the same delivery in this one, changes nothing.

Requests and answers are kept up to ``QueueLimits.answer_bytes`` in all; past it an attempt is kept without them, and
the first such attempt is logged.
"""

from collections.abc import Sequence

import msgspec
import structlog

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.model.delivery import Attempt
from kong_eventhooks_plugin.queue.contract import Settlement
from kong_eventhooks_plugin.queue.exchange_record import exchange_of
from kong_eventhooks_plugin.queue.hook_counters import HookCounters
from kong_eventhooks_plugin.queue.rows import splits
from kong_eventhooks_plugin.queue.sqlite.counters import Counters
from kong_eventhooks_plugin.queue.sqlite.statements import SQL, insert_rows

log = structlog.get_logger()

Row = tuple[object, ...]


class _Lease(msgspec.Struct):
    """A delivery that we hold: its event's number, its hook, its attempts so far, its bytes."""

    event: int
    hook: HookCounters
    attempts: int
    size: int


def settle(counters: Counters, settlements: Sequence[Settlement]) -> None:
    """End leases. Where one is not ours (any more) nothing changes. Raises ``QueueError`` for a new one."""
    if any(settlement.state == "leased" for settlement in settlements):
        raise QueueError("a settlement ends a lease; it cannot make one")
    ended: set[tuple[int, int]] = set()
    records: list[Row] = []
    postponed: list[Row] = []
    settled: list[Row] = []
    for settlement in settlements:
        lease = _find(counters, settlement)
        if lease is None or (lease.event, lease.hook.n) in ended:
            log.info("lease_lost", delivery_id=settlement.delivery_id, state=settlement.state)
            continue
        ended.add((lease.event, lease.hook.n))
        if settlement.attempt is not None:
            lease.attempts += 1
            records.append(_record(counters, lease, settlement.attempt))
        if settlement.state == "pending":
            postponed.append(_postpone(counters, lease, settlement))
        else:
            settled.append(_end(counters, lease, settlement))
    insert_rows(counters.connection, SQL.add_attempt, records)
    # Without rows they would cost as much as with one.
    if postponed:
        counters.connection.executemany(SQL.postpone, postponed)
    if settled:
        counters.connection.executemany(SQL.end, settled)


def _find(counters: Counters, settlement: Settlement) -> _Lease | None:
    attempt = settlement.attempt
    for event_id, hook_id in splits(settlement.delivery_id):
        hook = counters.known(hook_id)
        if hook is None:
            continue
        row = counters.connection.execute(SQL.leased, (event_id, hook.n, counters.owner)).fetchone()
        if row is not None and (attempt is None or attempt.number == row[1] + 1):
            return _Lease(row[0], hook, row[1], row[2])
    return None


def _record(counters: Counters, lease: _Lease, attempt: Attempt) -> Row:
    body, exchange = attempt.body, exchange_of(attempt)
    size = len(body) + len(exchange or b"")
    if counters.totals.answer_bytes + size > counters.limits.answer_bytes:
        if not counters.dropping_answers:
            log.warning("response_bodies_dropped", limit_bytes=counters.limits.answer_bytes)
        counters.dropping_answers, size, body, exchange = True, 0, b"", None
    elif size:
        counters.dropping_answers = False
    counters.totals.answer_bytes += size
    return (
        lease.event, lease.hook.n, attempt.number, attempt.started_at, attempt.seconds, attempt.outcome,
        attempt.error, attempt.detail, attempt.status, body, exchange,
    )  # fmt: skip


def _postpone(counters: Counters, lease: _Lease, settlement: Settlement) -> Row:
    counters.woken.add(lease.hook.hook_id)
    due_at = counters.now if settlement.due_at is None else settlement.due_at
    return lease.attempts, due_at, lease.event, lease.hook.n


def _end(counters: Counters, lease: _Lease, settlement: Settlement) -> Row:
    counters.shift(lease.hook, -1, -lease.size)
    counters.settle(settlement.state, 1)
    if lease.hook.n in counters.in_order:
        counters.woken.add(lease.hook.hook_id)
    reason = settlement.reason if settlement.state == "dead" else None
    return settlement.state, lease.attempts, counters.now, reason, lease.event, lease.hook.n
