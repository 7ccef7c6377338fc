"""Ends leases inside a transaction: the new state and the attempt's record, together.

A settlement counts only where the lease is still this writer's and the attempt's number is the next one: a node that
lost its lease, or a second attempt of the same delivery, changes nothing; nor does a settlement that is repeated.

Requests and answers are kept up to ``QueueLimits.answer_bytes`` in all; past it an attempt is kept without them. Nodes
that settle at the same moment may exceed it by what they settle.
"""

from collections.abc import Sequence
from typing import Any

import structlog

from kong_eventhooks_plugin.model.delivery import Attempt
from kong_eventhooks_plugin.queue.contract import Settlement
from kong_eventhooks_plugin.queue.exchange_record import exchange_of
from kong_eventhooks_plugin.queue.postgresql.statements import SQL
from kong_eventhooks_plugin.queue.postgresql.texts import plain
from kong_eventhooks_plugin.queue.postgresql.transaction import Transaction, columns
from kong_eventhooks_plugin.queue.rows import splits

log = structlog.get_logger()

Row = tuple[Any, ...]


async def settle(transaction: Transaction, settlements: Sequence[Settlement]) -> set[str]:
    """End leases; return the hooks that have one unsettled delivery less.

    No new state is ``leased``. Where a lease is not ours (any more) nothing changes.
    """
    held = await _held(transaction, settlements)
    kept_bytes = (await transaction.connection.fetchrow(SQL.totals))[3] or 0
    ended: set[tuple[int, int]] = set()
    settled: set[str] = set()
    records: list[Row] = []
    rows: list[Row] = []
    for at, settlement in enumerate(settlements):
        found = next((one for one in held.get(at, ()) if _fits(settlement, one[2])), None)
        if found is None or found[:2] in ended:
            log.info("lease_lost", delivery_id=settlement.delivery_id, state=settlement.state)
            continue
        event, hook, attempts, size = found
        ended.add((event, hook))
        if settlement.attempt is not None:
            attempts += 1
            records.append((event, hook, *_record(transaction, kept_bytes, settlement.attempt)))
        rows.append(_end(transaction, settlement, (event, hook), attempts, size))
        if settlement.state != "pending":
            settled.add(transaction.hooks.hook(hook))
    if records:
        await transaction.connection.execute(SQL.add_attempts, *columns(records))
    if rows:
        await transaction.connection.execute(SQL.end_leases, *columns(rows))
    return settled


async def _held(
    transaction: Transaction, settlements: Sequence[Settlement]
) -> dict[int, list[tuple[int, int, int, int]]]:
    """Return the deliveries that we hold, by a settlement's place: event, hook, attempts so far, bytes."""
    wanted = [
        (at, event_id, number)
        for at, settlement in enumerate(settlements)
        for event_id, hook_id in splits(settlement.delivery_id)
        if (number := transaction.hooks.number(hook_id)) is not None
    ]
    held: dict[int, list[tuple[int, int, int, int]]] = {}
    if wanted:
        for at, *row in await transaction.connection.fetch(SQL.leased, *columns(wanted), transaction.writer):
            held.setdefault(at, []).append((row[0], row[1], row[2], row[3]))
    return held


def _fits(settlement: Settlement, attempts: int) -> bool:
    return settlement.attempt is None or settlement.attempt.number == attempts + 1


def _record(transaction: Transaction, kept_bytes: int, attempt: Attempt) -> Row:
    body, exchange = attempt.body, exchange_of(attempt)
    size = len(body) + len(exchange or b"")
    if kept_bytes + transaction.added.answer_bytes + size > transaction.limits.answer_bytes:
        transaction.answers_dropped, size, body, exchange = True, 0, b"", None
    transaction.added.answer_bytes += size
    return (
        attempt.number, attempt.started_at, attempt.seconds, attempt.outcome, attempt.error, _plain(attempt.detail),
        attempt.status, body, exchange,
    )  # fmt: skip


def _end(transaction: Transaction, settlement: Settlement, key: tuple[int, int], attempts: int, size: int) -> Row:
    if settlement.state == "pending":
        transaction.woken.add(transaction.hooks.hook(key[1]))
        due_at = transaction.now if settlement.due_at is None else settlement.due_at
        return (*key, "pending", attempts, due_at, None, None)
    transaction.shift(key[1], -1, -size)
    transaction.added.settle(settlement.state, 1)
    reason = _plain(settlement.reason) if settlement.state == "dead" else None
    return (*key, settlement.state, attempts, None, transaction.now, reason)


def _plain(text: str | None) -> str | None:
    return None if text is None else plain(text)
