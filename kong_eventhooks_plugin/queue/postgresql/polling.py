"""``queue.polling.SharedPolling``: its limits are there, what it means too."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.holders import exited
from kong_eventhooks_plugin.queue.polling import (
    AGE,
    LONGEST,
    MAX_NOTE,
    MAX_NOTES,
    ROWS,
    TTL,
    LeaseHolder,
    WaitingChange,
)
from kong_eventhooks_plugin.queue.postgresql.connection import Connection
from kong_eventhooks_plugin.queue.postgresql.lane import StoreClock
from kong_eventhooks_plugin.queue.postgresql.nodes import CHANGES, CHANNEL
from kong_eventhooks_plugin.queue.postgresql.reads import Reader
from kong_eventhooks_plugin.queue.postgresql.statements import SQL
from kong_eventhooks_plugin.queue.postgresql.transaction import Transaction, columns

Write = Callable[[Callable[[Transaction], Awaitable[Any]]], Awaitable[Any]]


class PostgresPolling:
    """``write`` runs work in a transaction; ``reader`` raises ``StoreUnavailable`` where the store is not open."""

    def __init__(self, write: Write, reader: Callable[[], Reader], clock: StoreClock, rows: int = ROWS) -> None:
        self._write = write
        self._reader = reader
        self._clock = clock
        self._rows = rows

    # leases

    async def acquire(self, names: Sequence[str], process: str, node: str) -> Mapping[str, int]:
        async def acquire(transaction: Transaction) -> dict[str, int]:
            now, fetch = transaction.now, transaction.connection.fetch
            others = {row[0] for row in await fetch(SQL.poll_lease_processes, names, process)}
            gone = [each for each in others if exited(each)]
            values = (names, process, node, now + TTL, now, now + LONGEST, gone)
            return dict(await fetch(SQL.acquire_poll_leases, *values))

        return await self._write(acquire)  # type: ignore[no-any-return]

    async def release(self, names: Sequence[str], process: str) -> None:
        await self._write(lambda transaction: transaction.connection.execute(SQL.release_poll_leases, names, process))

    async def holders(self) -> Mapping[str, LeaseHolder]:
        async def holders(connection: Connection) -> dict[str, LeaseHolder]:
            now = await self._clock.read(connection)
            rows = await connection.fetch(SQL.poll_lease_holders, now, now + LONGEST)
            return {name: LeaseHolder(*holder) for name, *holder in rows}

        return await self._reader().read(holders)

    # notes

    async def note(self, lease: str, name: str) -> bytes | None:
        return await self._reader().read(lambda connection: connection.fetchval(SQL.poll_note, lease, name))

    async def note_names(self, lease: str, prefix: str) -> Sequence[str]:
        rows = await self._reader().read(lambda connection: connection.fetch(SQL.poll_note_names, lease, prefix))
        return [row[0] for row in rows]

    async def write_notes(
        self, lease: str, term: int, notes: Mapping[str, bytes], dropped: Collection[str] = ()
    ) -> None:
        async def write(transaction: Transaction) -> None:
            connection = transaction.connection
            if await connection.fetchval(SQL.lock_poll_lease, lease, term, transaction.now) is None:
                raise StoreUnavailable("another node polls now")
            await connection.execute(SQL.drop_poll_notes, lease, [*dropped, *notes])
            size = await connection.fetchval(SQL.poll_notes_size) + sum(map(len, notes.values()))
            if size > MAX_NOTES or max(map(len, notes.values()), default=0) > MAX_NOTE:
                raise StoreUnavailable(f"a note is larger than {MAX_NOTE:,} bytes, or all of them than {MAX_NOTES:,}")
            await connection.execute(SQL.add_poll_notes, lease, list(notes), list(notes.values()))

        await self._write(write)

    # forwarded changes

    async def send(self, changes: Sequence[tuple[float, bytes]]) -> int:
        async def send(transaction: Transaction) -> int:
            connection = transaction.connection
            free = self._rows - await connection.fetchval(SQL.count_forwarded_changes)
            if free < len(changes):
                await connection.execute(SQL.delete_old_forwarded_changes, transaction.now - AGE)
                free = self._rows - await connection.fetchval(SQL.count_forwarded_changes)
            taken = [(self._clock.to_store(seen_at), change) for seen_at, change in changes[: max(0, free)]]
            if taken:
                await connection.execute(SQL.add_forwarded_changes, *columns(taken))
                await connection.execute(SQL.notify, CHANNEL, CHANGES)
            return len(taken)

        return await self._write(send)  # type: ignore[no-any-return]

    async def waiting(self, limit: int) -> Sequence[WaitingChange]:
        rows = await self._reader().read(lambda connection: connection.fetch(SQL.first_forwarded_changes, limit))
        return [WaitingChange(n, self._clock.to_node(seen_at), change) for n, seen_at, change in rows]

    async def remove(self, numbers: Sequence[int]) -> None:
        await self._write(lambda transaction: transaction.connection.execute(SQL.delete_forwarded_changes, numbers))
