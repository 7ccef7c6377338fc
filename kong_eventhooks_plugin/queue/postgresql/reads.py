"""Everything that only reads, on connections of its own: no writer waits.

At most ``CONNECTIONS`` reads run at a time, each in one view of the store; ``WAITING`` more may wait, one more fails
with ``StoreUnavailable``. A read whose connection is lost is repeated once.

A person may wait: after ``SLOW`` seconds, the time for which a read waits included, a new connection is tried. A server
that takes it is at work, and the read goes on for as long as a statement may take (``connection``); where nothing is
heard for ``ANSWERING`` seconds, every read that is slow fails.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from kong_eventhooks_plugin.errors import QueueError, StoreSilent, StoreUnavailable, UnknownDelivery, UnknownEvent
from kong_eventhooks_plugin.model.delivery import Attempt, Delivery
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.suppression import SuppressionSlot
from kong_eventhooks_plugin.queue import limits
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
from kong_eventhooks_plugin.queue.nodes import Node
from kong_eventhooks_plugin.queue.postgresql.connection import Address, Connection
from kong_eventhooks_plugin.queue.postgresql.errors import kind_of, to_queue_error
from kong_eventhooks_plugin.queue.postgresql.nodes import node_from
from kong_eventhooks_plugin.queue.postgresql.schema import ACCEPTING, LOCKS
from kong_eventhooks_plugin.queue.postgresql.statements import SQL
from kong_eventhooks_plugin.queue.postgresql.texts import plain
from kong_eventhooks_plugin.queue.rows import (
    attempt_from,
    data_size,
    delivery_from,
    event_from,
    held_from,
    hook_from,
    splits,
)

T = TypeVar("T")

CONNECTIONS = 2
WAITING = 1_000
SLOW = 2.0
ANSWERING = 3.0
FETCHED_AT_ONCE = 50
"""Rows of a page: it may end after any of them."""

Read = Callable[[Connection], Awaitable[T]]


class Reader:
    def __init__(self, address: Address) -> None:
        self._address = address
        self._free: list[Connection] = []
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._waiting = 0
        self._slow: set[asyncio.Timeout] = set()
        self._asking: asyncio.Task[None] | None = None
        self._closed = False

    async def read(self, read: Read[T]) -> T:
        """Return the result of ``read(connection)``; all its statements see one state of the store."""
        if self._waiting >= WAITING:
            raise StoreUnavailable(f"{self._address.name}: {WAITING} reads wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(None) as limit:
                timer = asyncio.get_running_loop().call_later(SLOW, self._is_slow, limit)
                try:
                    async with self._turns:
                        return await self._repeated(read)
                finally:
                    timer.cancel()
                    self._slow.discard(limit)
        except TimeoutError:
            raise StoreSilent(f"{self._address.name}: has not answered for {SLOW + ANSWERING:g} s") from None
        finally:
            self._waiting -= 1

    def _is_slow(self, limit: asyncio.Timeout) -> None:
        self._slow.add(limit)
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        """End the reads that are slow, unless the server answers."""
        try:
            async with asyncio.timeout(ANSWERING):
                (await self._address.connect()).terminate()
        except TimeoutError:
            for limit in self._slow:
                limit.reschedule(0.0)
        except StoreUnavailable:
            pass  # it has answered, or refused: the reads find out what is wrong
        finally:
            self._slow.clear()
            self._asking = None

    async def close(self) -> None:
        self._closed = True
        if self._asking is not None:
            self._asking.cancel()
        while self._free:
            self._free.pop().terminate()

    async def _repeated(self, read: Read[T]) -> T:
        for last in (False, True):
            if self._closed:
                raise StoreUnavailable(f"{self._address.name}: is not open")
            # The second time on a new one: what has ended one connection may have ended all that were free.
            connection = self._free.pop() if self._free and not last else await self._address.connect()
            try:
                answer = await _in_one_view(connection, read)
            except QueueError:
                self._free.append(connection)
                raise
            except Exception as error:
                connection.terminate()
                if last or kind_of(error) not in {"lost", "conflict"}:
                    raise to_queue_error(error, self._address.name) from error
            except BaseException:
                connection.terminate()
                raise
            else:
                self._free.append(connection)
                return answer
        raise AssertionError  # the second time it returns or raises


async def _in_one_view(connection: Connection, read: Read[T]) -> T:
    """Where this raises anything but a ``QueueError`` the connection is of no use any more.

    Nothing is rolled back then: a server that does not answer would be waited for until the statement's time is over.
    """
    view = connection.transaction(isolation="repeatable_read", readonly=True)
    await view.start()
    try:
        answer = await read(connection)
    except QueueError:
        await view.rollback()
        raise
    await view.commit()
    return answer


async def work(connection: Connection, now: float) -> list[Work]:
    return [Work(hook_id=row[0], due_at=row[1]) for row in await connection.fetch(SQL.work, now)]


async def get(connection: Connection, delivery: str, now: float) -> Delivery:
    return delivery_from(await _row(connection, delivery), now)


async def attempts(connection: Connection, delivery: str) -> list[Attempt]:
    event, hook, *_ = await _row(connection, delivery)
    return [attempt_from(tuple(row)) for row in await connection.fetch(SQL.attempts, event, hook)]


async def page(
    connection: Connection, where: DeliveryFilter, size: int, offset: str | None, now: float
) -> DeliveryPage:
    check_size(size)
    event, hook = position(offset, 2)
    values: list[object] = [
        event, hook, where.hook_id, where.state, where.source, where.since, where.until, size + 1,
        where.event_prefix,
    ]  # fmt: skip
    if where.state in {"pending", "leased"}:
        rows = await _rows(connection, SQL.page_unsettled, [*values, now], size, data_size)
    else:
        rows = await _rows(connection, SQL.page, values, size, data_size)
    shown, more = one_page(rows, size, data_size)
    deliveries = tuple(delivery_from(row, now) for row in shown)
    return DeliveryPage(deliveries=deliveries, next_offset=f"{shown[-1][0]}.{shown[-1][1]}" if more else None)


async def last_number(connection: Connection) -> tuple[int, set[str]]:
    """Return the last number that an event was given, and the transactions that may still be about to commit one."""
    number = await connection.fetchval(SQL.last_number)
    return int(number), await accepting(connection)


async def accepting(connection: Connection) -> set[str]:
    return {row[0] for row in await connection.fetch(SQL.accepting, LOCKS, ACCEPTING)}


async def events(
    connection: Connection, where: EventFilter, size: int, offset: str | None, settled: int, now: float
) -> EventPage:
    """Return a page of the events up to the number ``settled`` (``horizon``)."""
    check_size(size)
    values: list[object] = [
        min(position(offset, 1)[0], settled + 1), where.after, where.source, where.event, where.hook_id, where.since,
        where.until, size + 1, where.held_back,
    ]  # fmt: skip
    rows = await _rows(connection, SQL.page_events, values, size, _event_size)
    shown, more = one_page(rows, size, _event_size)
    fired: dict[int, dict[str, Any]] = {row[0]: {} for row in shown}
    for number, hook_id, state in await connection.fetch(SQL.fired_of_events, list(fired), now):
        fired[number][hook_id] = state
    return EventPage(
        events=tuple(
            Accepted(event_from(row[1:7]), accepted_at=row[7], fired=fired[row[0]], held_back=held_from(row[8]))
            for row in shown
        ),
        next_offset=str(shown[-1][0]) if more else None,
    )


async def event(connection: Connection, event_id: str) -> Event:
    row = await connection.fetchrow(SQL.event, plain(event_id))
    if row is None:
        raise UnknownEvent(f"there is no event {event_id}")
    return event_from(tuple(row))


async def suppression(connection: Connection, candidate: Candidate, event: str) -> SuppressionSlot | None:
    found = await connection.fetch(SQL.hook_numbers, [plain(candidate.hook_id)])
    if not found or candidate.rule is None:
        return None
    key = (found[0][1], plain(candidate.source), plain(event), candidate.rule.slot_key(candidate.digest))
    row = await connection.fetchrow(SQL.slots, *([part] for part in key))
    return None if row is None else SuppressionSlot(*row[4:])


async def replayable(connection: Connection, where: DeliveryFilter, size: int) -> list[tuple[str, str]]:
    """Return the ids of the events and hooks of settled deliveries, oldest first."""
    values = (where.hook_id, where.state, where.source, where.since, where.until, size)
    return [(row[0], row[1]) for row in await connection.fetch(SQL.replayable, *map(_storable, values))]


async def stats(connection: Connection, now: float) -> Stats:
    """Return the queue's size; its cost grows with the hooks and the leases, not with the queue."""
    held = {row[0]: (row[1], row[2]) for row in await connection.fetch(SQL.sizes)}
    unsettled = sum(count for count, _ in held.values())
    leased = await connection.fetchval(SQL.count_leased, now)
    delivered, dead, *_ = await connection.fetchrow(SQL.totals)
    return Stats(
        depth={"pending": unsettled - leased, "leased": leased, "delivered": delivered or 0, "dead": dead or 0},
        unsettled_bytes=sum(size for _, size in held.values()),
        oldest_pending=await connection.fetchval(SQL.oldest_unsettled),
        per_hook={hook_id: count for hook_id, (count, _) in held.items() if count},
    )


async def definitions(connection: Connection) -> list[Hook]:
    return sorted(
        (hook_from(row[0]) for row in await connection.fetch(SQL.all_definitions)), key=lambda hook: hook.name
    )


async def endpoints(connection: Connection) -> list[EndpointHealth]:
    return [EndpointHealth(*row) for row in await connection.fetch(SQL.all_endpoints)]


async def all_nodes(connection: Connection) -> list[Node]:
    return [node_from(row) for row in await connection.fetch(SQL.all_nodes)]


async def spool_position(connection: Connection, spool: str) -> int:
    return int(await connection.fetchval(SQL.spool_position, spool) or 0)


async def _rows(
    connection: Connection, statement: str, values: list[object], size: int, bytes_of: Callable[[Any], int]
) -> list[tuple[Any, ...]]:
    """Return rows until a page is known to be full: what is large is not read for a page that it is not on."""
    cursor = await connection.cursor(statement, *map(_storable, values))
    rows: list[tuple[Any, ...]] = []
    room = limits.PAGE_BYTES
    while chunk := await cursor.fetch(FETCHED_AT_ONCE):
        rows.extend(tuple(row) for row in chunk)
        room -= sum(bytes_of(row) for row in chunk)
        if room <= 0 and room + bytes_of(chunk[-1]) <= 0:
            break  # the last one is the next page's
    return rows


def _storable(value: object) -> object:
    return plain(value) if isinstance(value, str) else value


def _event_size(row: tuple[Any, ...]) -> int:
    return len(row[4])


async def _row(connection: Connection, delivery: str) -> tuple[Any, ...]:
    for event, hook in splits(delivery):
        row = await connection.fetchrow(SQL.delivery, plain(event), plain(hook))
        if row is not None:
            return tuple(row)
    raise UnknownDelivery(f"there is no delivery {delivery}")
