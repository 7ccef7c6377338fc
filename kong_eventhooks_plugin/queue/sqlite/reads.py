"""Everything that only reads, on its own connection and thread: neither the loop nor the writer waits.

``WAITING`` reads may wait for the thread; one more fails with ``StoreUnavailable``.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from kong_eventhooks_plugin.errors import StoreUnavailable, UnknownDelivery, UnknownEvent
from kong_eventhooks_plugin.model.delivery import Attempt, Delivery
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.model.suppression import SuppressionSlot
from kong_eventhooks_plugin.queue.contract import (
    Accepted,
    Candidate,
    DeliveryFilter,
    DeliveryPage,
    EndpointHealth,
    EventFilter,
    EventPage,
    Stats,
    Work,
)
from kong_eventhooks_plugin.queue.limits import check_size, one_page, position
from kong_eventhooks_plugin.queue.rows import (
    attempt_from,
    data_size,
    delivery_from,
    encode,
    event_from,
    held_from,
    hook_from,
    splits,
)
from kong_eventhooks_plugin.queue.sqlite.errors import to_queue_error
from kong_eventhooks_plugin.queue.sqlite.file import open_reader
from kong_eventhooks_plugin.queue.sqlite.statements import SQL
from kong_eventhooks_plugin.storage.thread import CallThread

T = TypeVar("T")

WAITING = 1_000


class Reader:
    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._path = path
        self._thread = CallThread("event-hooks-store-reader", loop)
        self._connection: sqlite3.Connection | None = None
        self._waiting = 0

    async def open(self) -> None:
        self._connection = await self._thread.call(lambda: open_reader(self._path))

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of ``read(connection)``; all its statements see one state of the store."""
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
    return [Work(hook_id=hook_id, due_at=due_at) for hook_id, due_at in connection.execute(SQL.work, (now,))]


def get(connection: sqlite3.Connection, delivery: str, now: float) -> Delivery:
    return delivery_from(_row(connection, delivery), now)


def attempts(connection: sqlite3.Connection, delivery: str) -> list[Attempt]:
    event, hook, *_ = _row(connection, delivery)
    return [attempt_from(row) for row in connection.execute(SQL.attempts, (event, hook))]


def page(
    connection: sqlite3.Connection, where: DeliveryFilter, size: int, offset: str | None, now: float
) -> DeliveryPage:
    check_size(size)
    event, hook = position(offset, 2)
    values = {
        "event": event, "hook": hook, "hook_id": where.hook_id, "state": where.state, "source": where.source,
        "since": where.since, "until": where.until, "prefix": where.event_prefix, "size": size + 1, "now": now,
    }  # fmt: skip
    statement = SQL.page_unsettled if where.state in {"pending", "leased"} else SQL.page
    with closing(connection.execute(statement, values)) as rows:
        shown, more = one_page(rows, size, data_size)
    deliveries = tuple(delivery_from(row, now) for row in shown)
    return DeliveryPage(deliveries=deliveries, next_offset=f"{shown[-1][0]}.{shown[-1][1]}" if more else None)


def events(connection: sqlite3.Connection, where: EventFilter, size: int, offset: str | None, now: float) -> EventPage:
    check_size(size)
    values = {
        "before": position(offset, 1)[0], "after": where.after, "source": where.source, "name": where.event,
        "hook_id": where.hook_id, "since": where.since, "until": where.until, "size": size + 1,
        "held_back": where.held_back,
    }  # fmt: skip
    with closing(connection.execute(SQL.page_events, values)) as rows:
        shown, more = one_page(rows, size, lambda row: len(row[4]))
    fired: dict[int, dict[str, Any]] = {row[0]: {} for row in shown}
    numbers = {"events": encode(list(fired)).decode(), "now": now}
    for number, hook_id, state in connection.execute(SQL.fired_of_events, numbers):
        fired[number][hook_id] = state
    return EventPage(
        events=tuple(
            Accepted(event_from(row[1:7]), accepted_at=row[7], fired=fired[row[0]], held_back=held_from(row[8]))
            for row in shown
        ),
        next_offset=str(shown[-1][0]) if more else None,
    )


def event(connection: sqlite3.Connection, event_id: str) -> Event:
    row = connection.execute(SQL.event, (event_id,)).fetchone()
    if row is None:
        raise UnknownEvent(f"there is no event {event_id}")
    return event_from(row)


def suppression(connection: sqlite3.Connection, candidate: Candidate, event: str) -> SuppressionSlot | None:
    hook = connection.execute(SQL.hook_number, (candidate.hook_id,)).fetchone()
    if hook is None or candidate.rule is None:
        return None
    key = (*hook, candidate.source, event, candidate.rule.slot_key(candidate.digest))
    row = connection.execute(SQL.suppression_state, key).fetchone()
    return None if row is None else SuppressionSlot(*row)


def replayable(connection: sqlite3.Connection, where: DeliveryFilter, size: int) -> list[str]:
    """Return the ids of settled deliveries, oldest first."""
    values = {
        "hook_id": where.hook_id, "state": where.state, "source": where.source,
        "since": where.since, "until": where.until, "size": size,
    }  # fmt: skip
    return [delivery_id(event, hook) for event, hook in connection.execute(SQL.replayable, values)]


def stats(connection: sqlite3.Connection, now: float) -> Stats:
    """Return the queue's size; its cost grows with the hooks and the leases, not with the queue."""
    held = {row[0]: (row[2], row[3]) for row in connection.execute(SQL.all_hooks)}
    unsettled = sum(count for count, _ in held.values())
    (leased,) = connection.execute(SQL.count_leased, (now,)).fetchone()
    delivered, dead, _, _ = connection.execute(SQL.read_totals).fetchone()
    oldest = connection.execute(SQL.oldest_unsettled).fetchone()
    return Stats(
        depth={"pending": unsettled - leased, "leased": leased, "delivered": delivered, "dead": dead},
        unsettled_bytes=sum(size for _, size in held.values()),
        oldest_pending=None if oldest is None else oldest[0],
        per_hook={hook_id: count for hook_id, (count, _) in held.items() if count},
    )


def definitions(connection: sqlite3.Connection) -> list[Hook]:
    return sorted((hook_from(row[0]) for row in connection.execute(SQL.all_definitions)), key=lambda hook: hook.name)


def endpoints(connection: sqlite3.Connection) -> list[EndpointHealth]:
    return [EndpointHealth(*row) for row in connection.execute(SQL.all_endpoints)]


def _row(connection: sqlite3.Connection, delivery: str) -> tuple[Any, ...]:
    for event, hook in splits(delivery):
        row: tuple[Any, ...] | None = connection.execute(SQL.delivery, {"event": event, "hook": hook}).fetchone()
        if row is not None:
            return row
    raise UnknownDelivery(f"there is no delivery {delivery}")
