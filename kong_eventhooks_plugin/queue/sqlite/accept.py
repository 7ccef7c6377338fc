"""Accepts offers, a batch of them at once: every statement costs more than its rows."""

from collections.abc import Sequence

from kong_eventhooks_plugin.queue.accepting import Offered, decide
from kong_eventhooks_plugin.queue.rows import encode
from kong_eventhooks_plugin.queue.sqlite.counters import Counters
from kong_eventhooks_plugin.queue.sqlite.statements import SQL, insert_rows


def accept(counters: Counters, batch: Sequence[Offered]) -> None:
    """Write a batch of offers; each has its receipt as its answer then."""
    ids = [offered.offer.event.id for offered in batch]
    rows = counters.connection.execute(SQL.known_events, (encode(ids).decode(),)).fetchall()
    events, deliveries = decide(counters, batch, {row[0] for row in rows})
    insert_rows(counters.connection, SQL.add_event, events)
    insert_rows(counters.connection, SQL.add_delivery, deliveries)
