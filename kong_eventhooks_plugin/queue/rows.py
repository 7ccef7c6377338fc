"""Converts rows to values and back."""

from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.model.delivery import Attempt, Delivery
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.model.scope import NOWHERE, EventScope
from kong_eventhooks_plugin.model.suppression import Suppressed
from kong_eventhooks_plugin.model.trace import Trace
from kong_eventhooks_plugin.queue.contract import HeldBack
from kong_eventhooks_plugin.queue.exchange_record import exchange_from

MOST_PAIRS: Final = 8

encode = msgspec.json.Encoder().encode

stored_data = msgspec.json.Decoder(dict[str, Any]).decode
"""Return an event's data as it is read from its column."""

_held = msgspec.json.Decoder(dict[str, HeldBack]).decode
_scope = msgspec.json.Decoder(tuple[EventScope, tuple[str, ...]]).decode
_trace = msgspec.json.Decoder(Trace).decode
hook_from = msgspec.json.Decoder(Hook).decode

Row = tuple[Any, ...]


def check_texts(event: Event) -> None:
    """Raise ``QueueError`` for an event with a NUL in its id, source or name: not every engine can keep it."""
    if "\0" in event.id or "\0" in event.source or "\0" in event.event:
        raise QueueError(f"event {event.id!r} ({event.source!r}, {event.event!r}) cannot be kept: its name has a NUL")


def encoded(event: Event) -> tuple[bytes, bytes | None]:
    """Return the columns ``data`` and ``scope`` of an event. Raises ``QueueError`` where it cannot be kept."""
    try:
        check_texts(event)
        data = encode(event.data)
        if not event.unique and event.scope == NOWHERE:
            return data, None
        return data, encode((event.scope, event.unique))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise QueueError(f"event {event.id} cannot be written as JSON: {error}") from error


def event_from(row: Row, trace: str | None = None) -> Event:
    """Return the event of the columns id, source, event, data, time, scope, and of ``trace``."""
    event_id, source, name, data, time, scope = row
    where, unique = (NOWHERE, ()) if scope is None else _scope(scope)
    return Event(
        id=event_id,
        source=source,
        event=name,
        data=stored_data(data),
        time=time,
        scope=where,
        unique=unique,
        trace=None if trace is None else _trace(trace),
    )


def held_from(held: str | None) -> dict[str, HeldBack]:
    """Return the column ``held`` of an event: hook id -> why it was held back."""
    return {} if held is None else _held(held)


def suppressed_from(count: int, since: float, unread: int) -> Suppressed | None:
    return Suppressed(count, since, unread) if count or unread else None


def leased_from(
    hook_id: str, source: str, attempts: int, created_at: float, due_at: float, count: int, since: float,
    unread: int, trace: str | None, *event: Any,
) -> Delivery:  # fmt: skip
    """Return the delivery of a row of the ``claim`` statements, behind what each engine keeps of the hook."""
    return Delivery(
        id=delivery_id(event[0], hook_id),
        event=event_from(event, trace),
        hook_id=hook_id,
        source=source,
        state="leased",
        attempts=attempts,
        created_at=created_at,
        due_at=due_at,
        suppressed=suppressed_from(count, since, unread),
        data=event[3],
    )


def delivery_from(row: Row, now: float) -> Delivery:
    """Return the delivery of a row of the ``delivery`` and ``page`` statements; a lease that ran out is no lease."""
    _, _, hook_id, source, state, attempts, created_at, due_at, leased_until, settled_at, reason, *rest = row
    count, since, unread, *event, last_status, last_error = rest
    return Delivery(
        id=delivery_id(event[0], hook_id),
        event=event_from(tuple(event)),
        hook_id=hook_id,
        source=source,
        state="pending" if state == "leased" and leased_until <= now else state,
        attempts=attempts,
        created_at=created_at,
        due_at=due_at,
        settled_at=settled_at,
        reason=reason,
        suppressed=suppressed_from(count, since, unread),
        last_status=last_status,
        last_error=last_error,
        data=event[3],
    )


def attempt_from(row: Row) -> Attempt:
    """Return the attempt of a row of the ``attempts`` statement, whose last column is ``exchange``."""
    values: Row = (*row[:-1], *exchange_from(row[-1]))
    return Attempt(*values)


def data_size(row: Row) -> int:
    """Return the bytes of the event's data in a row of ``page``."""
    return len(row[17])


def splits(delivery: str) -> list[tuple[str, str]]:
    """Return the pairs of event and hook that could have made a delivery's id: one, unless there are ``_`` in them.

    None where there are more than ``MOST_PAIRS``: each is looked up, and a caller says what the id is.
    """
    parts = delivery.split("_", MOST_PAIRS + 1)
    if len(parts) > MOST_PAIRS + 1:
        return []
    return [("_".join(parts[:at]), "_".join(parts[at:])) for at in range(1, len(parts))]
