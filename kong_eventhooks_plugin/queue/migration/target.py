"""What a step of a migration does inside a transaction of the shared store, and what it counts of it at the end.

Events keep their order, and their numbers are the file's, all shifted by the same (0 in an empty store): the offsets of
pages stay. What the store has already, by an event's id, a delivery's or a slot's key, is left as it is there.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from types import SimpleNamespace
from typing import Final, NamedTuple

from msgspec.structs import astuple

from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import EndpointHealth
from kong_eventhooks_plugin.queue.migration.source import Batch, Counts, Row
from kong_eventhooks_plugin.queue.postgresql.connection import Connection
from kong_eventhooks_plugin.queue.postgresql.nodes import CHANNEL, DEFINITIONS
from kong_eventhooks_plugin.queue.postgresql.statements import SQL as QUEUE_SQL
from kong_eventhooks_plugin.queue.postgresql.texts import plain
from kong_eventhooks_plugin.queue.postgresql.transaction import Transaction, columns
from kong_eventhooks_plugin.queue.rows import encode
from kong_eventhooks_plugin.storage.named_sql import named_statements

SQL: Final = SimpleNamespace(
    **named_statements((resources.files("kong_eventhooks_plugin.queue.migration") / "target.sql").read_text("utf-8"))
)


class Small(NamedTuple):
    """What is moved in one transaction: the hooks that the API has made, and endpoints' health."""

    hooks: Sequence[Hook]
    endpoints: Sequence[EndpointHealth]


async def begin(
    transaction: Transaction, source: str, last: int, hooks: Sequence[tuple[int, str]], small: Small
) -> tuple[int, int]:
    """Return by how much the file's numbers are shifted, and the last event that was moved already.

    The first time what is small is added: hooks that are deleted afterwards do not come back.
    """
    connection = transaction.connection
    await transaction.lock_accepting(alone=True)
    known = await connection.fetchrow(SQL.known, source)
    if known is not None:
        return known[0], known[1]
    used, is_used = await connection.fetchrow(SQL.numbered)
    shift = used if is_used else 0
    if last:
        await connection.fetchval(SQL.reserve, shift + last)
    if hooks and not await connection.fetchval(SQL.has_hooks):
        await connection.execute(SQL.keep_hook_numbers, *columns(hooks))
        await connection.fetchval(SQL.reserve_hooks)
    made, endpoints = small
    if made:
        await connection.execute(SQL.add_definitions, [hook.id for hook in made], [encode(hook) for hook in made])
        await connection.execute(QUEUE_SQL.notify, CHANNEL, DEFINITIONS)
    if endpoints:
        await connection.execute(SQL.add_endpoints, *columns([astuple(one) for one in endpoints]))
    await connection.execute(SQL.begin, source, shift, transaction.now)
    return shift, 0


async def add_slots(transaction: Transaction, slots: Sequence[Row]) -> None:
    """Add states of on_change and snooze; each begins with its hook's id."""
    rows = [(_number(transaction, row[0]), plain(row[1]), plain(row[2]), *row[3:]) for row in slots]
    added = await transaction.connection.fetch(SQL.add_slots, *columns(rows))
    for hook, count in Counter(row[0] for row in added).items():
        transaction.shift(hook, 0, 0, count)


async def add_batch(transaction: Transaction, source: str, shift: int, batch: Batch) -> None:
    """Add events with everything of theirs, and remember how far it has come."""
    connection = transaction.connection
    rows = [_event(row, shift) for row in batch.events]
    await connection.execute(SQL.add_events, *columns(rows))
    found = {row[0]: (row[1], row[2]) for row in await connection.fetch(SQL.lock_events, [row[1] for row in rows])}
    numbers = {row[0] - shift: found[row[1]][0] for row in rows}
    added = await _add_deliveries(transaction, batch.deliveries, numbers)
    await _add_attempts(transaction, batch.attempts, numbers, added)
    needed = Counter(event for event, _ in added)
    if needed:
        await connection.execute(SQL.need_events, list(needed), list(needed.values()))
    ours = {row[0] for row in rows}
    for number, deliveries in found.values():
        if number in ours and number not in needed:
            transaction.add_idle()
        elif number not in ours and deliveries == 0 and number in needed:
            transaction.added.idle -= 1
    await connection.execute(SQL.moved, source, batch.last)


async def _add_deliveries(
    transaction: Transaction, deliveries: Sequence[Row], numbers: Mapping[int, int]
) -> set[tuple[int, int]]:
    """Return the events and hooks of those that were not there."""
    if not deliveries:
        return set()
    rows = [
        (numbers[event], _number(transaction, hook_id), plain(source), "pending" if state == "leased" else state,
         *rest, _plain(reason), suppressed, since, unread)
        for event, hook_id, source, state, *rest, reason, suppressed, since, unread in deliveries
    ]  # fmt: skip
    added = {(row[0], row[1]) for row in await transaction.connection.fetch(SQL.add_deliveries, *columns(rows))}
    for event, hook, _, state, _, size, _, _, settled_at, *_ in rows:
        if (event, hook) not in added:
            continue
        if settled_at is None:
            transaction.shift(hook, 1, size)
        else:
            transaction.added.settle(state, 1)
    return added


async def _add_attempts(
    transaction: Transaction, attempts: Sequence[Row], numbers: Mapping[int, int], added: set[tuple[int, int]]
) -> None:
    rows = []
    for event, hook_id, number, started_at, seconds, outcome, error, detail, status, body, exchange in attempts:
        key = (numbers[event], _number(transaction, hook_id))
        if key in added:
            rows.append(
                (*key, number, started_at, seconds, outcome, _plain(error), _plain(detail), status, body, exchange)
            )
            transaction.added.answer_bytes += len(body) + len(exchange or b"")
    if rows:
        await transaction.connection.execute(QUEUE_SQL.add_attempts, *columns(rows))


async def count_small(connection: Connection, small: Small) -> Counts:
    return Counts(
        api_hooks=await connection.fetchval(SQL.count_definitions, [hook.id for hook in small.hooks]),
        endpoints=await connection.fetchval(SQL.count_endpoints, [one.hook_id for one in small.endpoints]),
    )


async def count_slots(connection: Connection, slots: Sequence[Row]) -> Counts:
    keys = [(row[0], plain(row[1]), plain(row[2]), row[3]) for row in slots]
    return Counts(suppression_states=await connection.fetchval(SQL.count_slots, *columns(keys)))


async def count_batch(connection: Connection, shift: int, batch: Batch) -> tuple[Counts, int]:
    """Count what the store has of a batch, and the events that it had by itself: their attempts count as there."""
    ids = {row[0]: plain(row[1]) for row in batch.events}
    found = dict(await connection.fetch(SQL.find_events, list(ids.values())))
    moved = {n for n, event_id in ids.items() if found.get(event_id) == n + shift}
    deliveries = attempts = 0
    if batch.deliveries:
        keys = [(ids[row[0]], row[1]) for row in batch.deliveries]
        deliveries = await connection.fetchval(SQL.count_deliveries, *columns(keys))
        made = [(row[0] + shift, row[1], row[4]) for row in batch.deliveries if row[0] in moved]
        attempts = await connection.fetchval(SQL.count_attempts, *columns(made)) if made else 0
    elsewhere = sum(row[0] not in moved and ids[row[0]] in found for row in batch.attempts)
    return Counts(events=len(found), deliveries=deliveries, attempts=attempts + elsewhere), len(found) - len(moved)


def total(counts: Iterable[Counts]) -> Counts:
    return Counts(*(sum(column) for column in zip(*counts, strict=True)))


def _event(row: Row, shift: int) -> Row:
    n, event_id, source, name, time, accepted_at, data, scope, held, trace = row
    return (n + shift, plain(event_id), plain(source), plain(name), time, accepted_at, data, scope, held, trace)


def _number(transaction: Transaction, hook_id: str) -> int:
    number = transaction.hooks.number(hook_id)
    assert number is not None  # noqa: S101  # each hook of the file was given one
    return number


def _plain(text: str | None) -> str | None:
    return None if text is None else plain(text)
