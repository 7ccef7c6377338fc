"""Ends of leases as rows of ``write``: the new state and the attempt's record, together.

A settlement counts only where the lease is still this writer's and the attempt's number is the next one: a node that
lost its lease, or a second attempt of the same delivery, changes nothing; nor does a settlement that is repeated.

Requests and answers are kept up to ``QueueLimits.answer_bytes`` in all; past it an attempt is kept without them. Nodes
that settle at the same moment may exceed it by what they settle.
"""

from collections.abc import Sequence
from typing import Any

from kong_eventhooks_plugin.queue.contract import Settlement
from kong_eventhooks_plugin.queue.exchange_record import exchange_of
from kong_eventhooks_plugin.queue.postgresql.texts import plain
from kong_eventhooks_plugin.queue.postgresql.transaction import HookNumbers
from kong_eventhooks_plugin.queue.rows import splits

Row = tuple[Any, ...]

WIDTH = 16


def rows_of(settlements: Sequence[Settlement], hooks: HookNumbers) -> list[Row]:
    """Return a row for each pair of event and hook that a settlement's id may mean.

    Its place is in front; last is the size of all requests and answers up to this one.
    """
    rows: list[Row] = []
    size = 0
    for at, settlement in enumerate(settlements):
        said = _said(settlement)
        size += len(said[-2] or b"") + len(said[-1] or b"")
        for event_id, hook_id in splits(settlement.delivery_id):
            number = hooks.number(hook_id)
            if number is not None:
                rows.append((at, event_id, number, *said, size))
    return rows


def _said(settlement: Settlement) -> Row:
    said = (settlement.state, settlement.due_at, _plain(settlement.reason))
    attempt = settlement.attempt
    if attempt is None:
        return (*said, *([None] * 9))
    return (
        *said, attempt.number, attempt.started_at, attempt.seconds, attempt.outcome, attempt.error,
        _plain(attempt.detail), attempt.status, attempt.body, exchange_of(attempt),
    )  # fmt: skip


def _plain(text: str | None) -> str | None:
    return None if text is None else plain(text)
