"""Ending leases inside a transaction: the new state and the attempt's record, together.

A settlement counts only where the lease is still this opening's of the store and the attempt's number is the next one:
a process that lost its lease, or a second try of the same delivery in this one, changes nothing.

Bodies of answers are kept up to ``Limits.answer_bytes`` in all; past it an attempt is kept without its body,
which is logged when it begins.
"""

from collections.abc import Sequence

import structlog

from kong_eventhooks_plugin.model.delivery import Attempt
from kong_eventhooks_plugin.queue.contract import Settlement
from kong_eventhooks_plugin.queue.sqlite.counters import Counters, HookCounters
from kong_eventhooks_plugin.queue.sqlite.rows import splits
from kong_eventhooks_plugin.queue.sqlite.statements import SQL, insert_rows

_LEASED = SQL["leased"]
_POSTPONE = SQL["postpone"]
_END = SQL["end"]
_ADD_ATTEMPT = SQL["add_attempt"]

log = structlog.get_logger()

Row = tuple[object, ...]


class _Lease:
    """A delivery that is leased to us: its event's number, its hook's account, its attempts so far, its bytes."""

    __slots__ = ("account", "attempts", "event", "size")

    def __init__(self, event: int, account: HookCounters, attempts: int, size: int) -> None:
        self.event = event
        self.account = account
        self.attempts = attempts
        self.size = size


def settle(books: Counters, settlements: Sequence[Settlement]) -> None:
    """End leases. No new state is ``leased``. Where a lease is not ours (any more) nothing changes."""
    ended: set[tuple[int, int]] = set()
    records: list[Row] = []
    postponed: list[Row] = []
    settled: list[Row] = []
    for settlement in settlements:
        lease = _find(books, settlement)
        if lease is None or (lease.event, lease.account.n) in ended:
            log.info("lease_lost", delivery_id=settlement.delivery_id, state=settlement.state)
            continue
        ended.add((lease.event, lease.account.n))
        if settlement.attempt is not None:
            lease.attempts += 1
            records.append(_record(books, lease, settlement.attempt))
        if settlement.state == "pending":
            postponed.append(_postpone(books, lease, settlement))
        else:
            settled.append(_end(books, lease, settlement))
    insert_rows(books.connection, _ADD_ATTEMPT, records)
    books.connection.executemany(_POSTPONE, postponed)
    books.connection.executemany(_END, settled)


def _find(books: Counters, settlement: Settlement) -> _Lease | None:
    attempt = settlement.attempt
    for event_id, hook_id in splits(settlement.delivery_id):
        account = books.known(hook_id)
        if account is None:
            continue
        row = books.connection.execute(_LEASED, (event_id, account.n, books.owner)).fetchone()
        if row is not None and (attempt is None or attempt.number == row[1] + 1):
            return _Lease(row[0], account, row[1], row[2])
    return None


def _record(books: Counters, lease: _Lease, attempt: Attempt) -> Row:
    body = attempt.body
    if books.totals.answer_bytes + len(body) > books.limits.answer_bytes:
        if not books.dropping_answers:
            log.warning("response_bodies_dropped", limit_bytes=books.limits.answer_bytes)
        books.dropping_answers, body = True, b""
    elif body:
        books.dropping_answers = False
    books.totals.answer_bytes += len(body)
    return (
        lease.event, lease.account.n, attempt.number, attempt.started_at, attempt.seconds, attempt.outcome,
        attempt.error, attempt.detail, attempt.status, body,
    )  # fmt: skip


def _postpone(books: Counters, lease: _Lease, settlement: Settlement) -> Row:
    books.woken.add(lease.account.hook_id)
    due_at = books.now if settlement.due_at is None else settlement.due_at
    return lease.attempts, due_at, lease.event, lease.account.n


def _end(books: Counters, lease: _Lease, settlement: Settlement) -> Row:
    books.shift(lease.account, -1, -lease.size)
    books.settle(settlement.state, 1)
    reason = settlement.reason if settlement.state == "dead" else None
    return settlement.state, lease.attempts, books.now, reason, lease.event, lease.account.n
