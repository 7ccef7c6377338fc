"""Ends leases inside a transaction: the new state and the attempt's record, together.

A settlement counts only where the lease is still this opening's of the store and the attempt's number is the next one:
a process that lost its lease, or a second attempt of the same delivery in this one, changes nothing.

Requests and answers are kept up to ``QueueLimits.answer_bytes`` in all; past it an attempt is kept without them, and
the first such attempt is logged.
"""

from collections.abc import Sequence

import structlog

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.model.delivery import Attempt
from kong_eventhooks_plugin.queue.contract import Settlement
from kong_eventhooks_plugin.queue.exchange_record import exchange_of
from kong_eventhooks_plugin.queue.rows import splits
from kong_eventhooks_plugin.queue.sqlite.counters import Counters, Lease
from kong_eventhooks_plugin.queue.sqlite.statements import SQL, insert_rows

log = structlog.get_logger()

Row = tuple[object, ...]


def settle(counters: Counters, settlements: Sequence[Settlement]) -> None:
    """End leases. Where one is not ours (any more) nothing changes. Raises ``QueueError`` for a new one."""
    if any(settlement.state == "leased" for settlement in settlements):
        raise QueueError("a settlement ends a lease; it cannot make one")
    records: list[Row] = []
    for settlement in settlements:
        lease = _find(counters, settlement)
        if lease is None or not _end(counters, lease, settlement):
            log.info("lease_lost", delivery_id=settlement.delivery_id, state=settlement.state)
        elif settlement.attempt is not None:
            records.append(_record(counters, lease, settlement.attempt))
    insert_rows(counters.cursor, SQL.add_attempt, records)


def _find(counters: Counters, settlement: Settlement) -> Lease | None:
    """Return the lease that is to be ended, None where there is none; whether it is ours yet its row says."""
    known = counters.take_lease(settlement.delivery_id)
    return known if known is not None else _looked_up(counters, settlement.delivery_id)


def _looked_up(counters: Counters, delivery_id: str) -> Lease | None:
    for event_id, hook_id in splits(delivery_id):
        hook = counters.known(hook_id)
        if hook is None:
            continue
        row = counters.cursor.execute(SQL.leased, (event_id, hook.n, counters.owner)).fetchone()
        if row is not None:
            event, attempts, size = row
            return Lease(event, hook, attempts, size)
    return None


def _record(counters: Counters, lease: Lease, attempt: Attempt) -> Row:
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


def _end(counters: Counters, lease: Lease, settlement: Settlement) -> bool:
    """End the lease, where it is still ours and the attempt is its next one; return whether it was."""
    hook, attempts = lease.hook, lease.attempts
    if settlement.attempt is not None:
        attempts += 1
        if settlement.attempt.number != attempts:
            return False
    held = (lease.event, hook.n, counters.owner, lease.attempts)
    if settlement.state == "pending":
        due_at = counters.now if settlement.due_at is None else settlement.due_at
        if counters.cursor.execute(SQL.postpone, (attempts, due_at, *held)).rowcount != 1:
            return False
        counters.woken.add(hook.hook_id)
        return True
    reason = settlement.reason if settlement.state == "dead" else None
    values = (settlement.state, attempts, counters.now, reason, *held)
    if counters.cursor.execute(SQL.end, values).rowcount != 1:
        return False
    counters.shift(hook, -1, -lease.size)
    counters.settle(settlement.state, 1)
    if hook.n in counters.in_order:
        counters.woken.add(hook.hook_id)
    return True
