"""Accepts offers, a batch of them at once: every statement costs more than its rows.

Where the delivering side has room a delivery is leased to it at once: no transaction of its own for the claim.
"""

import sqlite3
from collections.abc import Sequence

from msgspec.structs import replace

from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.queue.accepting import Offered, Row, Rows, decide
from kong_eventhooks_plugin.queue.contract import Candidate, Taker
from kong_eventhooks_plugin.queue.hook_counters import HookCounters
from kong_eventhooks_plugin.queue.rows import encode, stored_data, suppressed_from
from kong_eventhooks_plugin.queue.sqlite.counters import Counters, Lease
from kong_eventhooks_plugin.queue.sqlite.statements import SQL, insert_rows

_COUNT, _UNREAD = 6, 8
"""The columns of a delivery's row that say what was held back before it: with the time between them, its last."""


class _Leases:
    """What of a batch is leased to the delivering side; how much room it has is asked once a hook."""

    def __init__(self, counters: Counters, taker: Taker) -> None:
        self._counters = counters
        self._taker = taker
        self._room: dict[str, int] = {}
        self.rows: list[Row] = []

    def lease(self, event: Event, data: bytes, candidate: Candidate, hook: HookCounters, row: Row) -> bool:
        """Lease a new delivery, whose row this is, and count it; False where there is no room."""
        hook_id, counters = candidate.hook_id, self._counters
        if hook_id not in self._room:
            room = self._taker.room(hook_id)
            self._room[hook_id] = room.deliveries
            if room.deliveries > 0:
                counters.taken[hook_id] = counters.now + room.lease_seconds, []
        if self._room[hook_id] <= 0:
            return False
        self._room[hook_id] -= 1
        until, taken = counters.taken[hook_id]
        counters.shift(hook, 1, len(data))
        self.rows.append((*row, counters.owner, until))
        own_id = delivery_id(event.id, hook_id)
        counters.remember_lease(own_id, Lease(row[0], hook, 0, len(data)))
        taken.append(
            Delivery(
                id=own_id,
                event=replace(event, data=stored_data(data), compared={}),
                hook_id=hook_id,
                source=candidate.source,
                state="leased",
                attempts=0,
                created_at=counters.now,
                due_at=counters.now,
                suppressed=suppressed_from(*row[-3:]),
                data=data,
            )
        )
        return True


def accept(counters: Counters, batch: Sequence[Offered], taker: Taker | None) -> None:
    """Write a batch of offers; each has its receipt as its answer then."""
    leases = None if taker is None else _Leases(counters, taker)
    known = _known(counters, [offered.offer.event.id for offered in batch])
    events, deliveries = decide(counters, batch, known, None if leases is None else leases.lease)
    _add_events(counters.cursor, events)
    _add_deliveries(counters.cursor, deliveries)
    if leases is not None:
        insert_rows(counters.cursor, SQL.add_leased_delivery, leases.rows)


def _add_events(cursor: sqlite3.Cursor, rows: Rows) -> None:
    """Insert rows of ``events``, with bytearrays: for bytes sqlite3 looks for an adapter first."""
    plain: Rows = []
    noted: Rows = []
    for n, event_id, source, event, time, now, data, scope, held, deliveries, trace in rows:
        where = None if scope is None else bytearray(scope)
        begin = (n, event_id, source, event, time, now, bytearray(data), where)
        if held or trace:
            noted.append((*begin, held, deliveries, trace))
        else:
            plain.append((*begin, deliveries))
    insert_rows(cursor, SQL.add_event, plain)
    insert_rows(cursor, SQL.add_noted_event, noted)


def _add_deliveries(cursor: sqlite3.Cursor, rows: Rows) -> None:
    suppressed = [row for row in rows if row[_COUNT] or row[_UNREAD]]
    if suppressed:
        insert_rows(cursor, SQL.add_delivery_after_suppressed, suppressed)
        rows = [row for row in rows if not (row[_COUNT] or row[_UNREAD])]
    insert_rows(cursor, SQL.add_delivery, [row[:_COUNT] for row in rows])


def _known(counters: Counters, ids: Sequence[str]) -> set[str]:
    """Return which events are there already."""
    if len(ids) == 1:  # at a usual rate; a third of what the list costs
        rows = counters.cursor.execute(SQL.known_event, ids).fetchall()
    else:
        rows = counters.cursor.execute(SQL.known_events, (encode(ids).decode(),)).fetchall()
    return {row[0] for row in rows}
