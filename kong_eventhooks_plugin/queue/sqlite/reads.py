"""Everything that only reads: its own connection, its own thread, so that neither the loop nor the writer waits.

``WAITING`` reads may wait for the thread; one more fails with ``StoreUnavailable``.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from kong_eventhooks_plugin.errors import QueueError, StoreUnavailable, UnknownDelivery
from kong_eventhooks_plugin.model.delivery import Attempt, Delivery
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.queue.contract import (
    Accepted,
    DeliveryFilter,
    DeliveryPage,
    EndpointHealth,
    EventFilter,
    EventPage,
    HeldBackCount,
    Stats,
    Work,
)
from kong_eventhooks_plugin.queue.limits import LARGEST_PAGE, LONGEST_OFFSET, one_page
from kong_eventhooks_plugin.queue.sqlite.errors import to_queue_error
from kong_eventhooks_plugin.queue.sqlite.file import open_reader
from kong_eventhooks_plugin.queue.sqlite.rows import (
    attempt_from,
    data_size,
    delivery_from,
    encode,
    event_from,
    held_from,
    hook_from,
    splits,
)
from kong_eventhooks_plugin.queue.sqlite.statements import SQL
from kong_eventhooks_plugin.storage.thread import CallThread

T = TypeVar("T")

WAITING = 1_000

_LAST = (1 << 63) - 1
_WORK = SQL["work"]
_DELIVERY = SQL["delivery"]
_PAGE = SQL["page"]
_PAGE_UNSETTLED = SQL["page_unsettled"]
_PAGE_EVENTS = SQL["page_events"]
_FIRED_OF_EVENTS = SQL["fired_of_events"]
_REPLAYABLE = SQL["replayable"]
_ATTEMPTS = SQL["attempts"]
_ALL_HOOKS = SQL["all_hooks"]
_ALL_SUPPRESSED = SQL["all_suppressed"]
_ALL_DEFINITIONS = SQL["all_definitions"]
_ALL_ENDPOINTS = SQL["all_endpoints"]
_READ_TOTALS = SQL["read_totals"]
_COUNT_LEASED = SQL["count_leased"]
_OLDEST_UNSETTLED = SQL["oldest_unsettled"]


class Reader:
    """Runs a read in the reader's thread."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._path = path
        self._thread = CallThread("event-hooks-store-reader", loop)
        self._connection: sqlite3.Connection | None = None
        self._waiting = 0

    async def open(self) -> None:
        """Open the connection. Raises ``StoreUnavailable``."""
        self._connection = await self._thread.call(lambda: open_reader(self._path))

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``read(connection)`` returns; all its statements see one state of the store."""
        connection = self._connection
        if connection is None:
            raise StoreUnavailable(f"{self._path}: is not open")
        if self._waiting >= WAITING:
            raise StoreUnavailable(f"{self._path}: {WAITING} reads wait already")
        self._waiting += 1
        try:
            return await self._thread.call(lambda: _in_one_view(connection, read))
        except sqlite3.Error as error:
            raise to_queue_error(error, self._path) from error
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Close the connection and end the thread, after the reads that wait."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._thread.call(connection.close)
        self._thread.stop()


def _in_one_view(connection: sqlite3.Connection, read: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN")
    try:
        return read(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def work(connection: sqlite3.Connection, now: float) -> list[Work]:
    """Return every hook with pending deliveries."""
    return [Work(hook_id=hook_id, due_at=due_at) for hook_id, due_at in connection.execute(_WORK, (now,))]


def get(connection: sqlite3.Connection, delivery: str, now: float) -> Delivery:
    """Return one delivery; raises ``UnknownDelivery``."""
    return delivery_from(_row(connection, delivery), now)


def attempts(connection: sqlite3.Connection, delivery: str) -> list[Attempt]:
    """Return the attempts of a delivery; raises ``UnknownDelivery``."""
    event, hook, *_ = _row(connection, delivery)
    return [attempt_from(row) for row in connection.execute(_ATTEMPTS, (event, hook))]


def page(
    connection: sqlite3.Connection, where: DeliveryFilter, size: int, offset: str | None, now: float
) -> DeliveryPage:
    """Return a page of deliveries, newest first."""
    if not 1 <= size <= LARGEST_PAGE:
        raise QueueError(f"a page has 1 to {LARGEST_PAGE} deliveries, not {size}")
    event, hook = _position(offset)
    values = {
        "event": event, "hook": hook, "hook_id": where.hook_id, "state": where.state, "source": where.source,
        "since": where.since, "until": where.until, "size": size + 1, "now": now,
    }  # fmt: skip
    statement = _PAGE_UNSETTLED if where.state in {"pending", "leased"} else _PAGE
    with closing(connection.execute(statement, values)) as rows:
        shown, more = one_page(rows, size, data_size)
    deliveries = tuple(delivery_from(row, now) for row in shown)
    return DeliveryPage(deliveries=deliveries, next_offset=f"{shown[-1][0]}.{shown[-1][1]}" if more else None)


def events(connection: sqlite3.Connection, where: EventFilter, size: int, offset: str | None, now: float) -> EventPage:
    """Return a page of events, newest first."""
    if not 1 <= size <= LARGEST_PAGE:
        raise QueueError(f"a page has 1 to {LARGEST_PAGE} events, not {size}")
    values = {
        "before": _number(offset), "after": where.after, "source": where.source, "name": where.event,
        "hook_id": where.hook_id, "since": where.since, "until": where.until, "size": size + 1,
    }  # fmt: skip
    with closing(connection.execute(_PAGE_EVENTS, values)) as rows:
        shown, more = one_page(rows, size, lambda row: len(row[4]))
    fired: dict[int, dict[str, Any]] = {row[0]: {} for row in shown}
    numbers = {"events": encode(list(fired)).decode(), "now": now}
    for number, hook_id, state in connection.execute(_FIRED_OF_EVENTS, numbers):
        fired[number][hook_id] = state
    return EventPage(
        events=tuple(
            Accepted(event_from(row[1:7]), accepted_at=row[7], fired=fired[row[0]], held_back=held_from(row[8]))
            for row in shown
        ),
        next_offset=str(shown[-1][0]) if more else None,
    )


def replayable(connection: sqlite3.Connection, where: DeliveryFilter, size: int) -> list[str]:
    """Return the ids of settled deliveries, oldest first."""
    values = {
        "hook_id": where.hook_id, "state": where.state, "source": where.source,
        "since": where.since, "until": where.until, "size": size,
    }  # fmt: skip
    return [delivery_id(event, hook) for event, hook in connection.execute(_REPLAYABLE, values)]


def suppressed(connection: sqlite3.Connection) -> list[HeldBackCount]:
    """Return the counts of what was held back."""
    return [HeldBackCount(*row) for row in connection.execute(_ALL_SUPPRESSED)]


def stats(connection: sqlite3.Connection, now: float) -> Stats:
    """Return the queue's size; its cost grows with the hooks and the leases, not with the queue."""
    held = {row[0]: (row[2], row[3]) for row in connection.execute(_ALL_HOOKS)}
    unsettled = sum(count for count, _ in held.values())
    (leased,) = connection.execute(_COUNT_LEASED, (now,)).fetchone()
    delivered, dead, _, _ = connection.execute(_READ_TOTALS).fetchone()
    oldest = connection.execute(_OLDEST_UNSETTLED).fetchone()
    return Stats(
        depth={"pending": unsettled - leased, "leased": leased, "delivered": delivered, "dead": dead},
        unsettled_bytes=sum(size for _, size in held.values()),
        oldest_pending=None if oldest is None else oldest[0],
        per_hook={hook_id: count for hook_id, (count, _) in held.items() if count},
    )


def definitions(connection: sqlite3.Connection) -> list[Hook]:
    """Return every stored hook definition, by name."""
    return sorted((hook_from(row) for row in connection.execute(_ALL_DEFINITIONS)), key=lambda hook: hook.name)


def endpoints(connection: sqlite3.Connection) -> list[EndpointHealth]:
    """Return what is remembered of endpoints, by hook id."""
    return [EndpointHealth(*row) for row in connection.execute(_ALL_ENDPOINTS)]


def _row(connection: sqlite3.Connection, delivery: str) -> tuple[Any, ...]:
    for event, hook in splits(delivery):
        row: tuple[Any, ...] | None = connection.execute(_DELIVERY, {"event": event, "hook": hook}).fetchone()
        if row is not None:
            return row
    raise UnknownDelivery(f"there is no delivery {delivery}")


def _position(offset: str | None) -> tuple[int, int]:
    """Return event's and hook's number of the last delivery of the page before."""
    if offset is None:
        return _LAST, _LAST
    event, _, hook = offset.partition(".")
    if not (event.isdecimal() and hook.isdecimal() and len(offset) <= LONGEST_OFFSET):
        raise QueueError(f"{offset!r} is no page's next_offset")
    return min(int(event), _LAST), min(int(hook), _LAST)


def _number(offset: str | None) -> int:
    """Return the number of the last event of the page before."""
    if offset is None:
        return _LAST
    if not (offset.isascii() and offset.isdecimal() and len(offset) <= LONGEST_OFFSET):
        raise QueueError(f"{offset!r} is no page's next_offset")
    return min(int(offset), _LAST)
