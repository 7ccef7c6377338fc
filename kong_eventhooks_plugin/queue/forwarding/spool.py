"""The spool: what this node has accepted for the shared store, in a file of its own, in order.

Offers that wait share the next transaction, which is written and synced in a thread. An offer stays for
``KEEP_SECONDS`` after the shared store has committed it: that store may come back from an older backup. Any number of
processes may have the file open (two overlap while Kong reloads).

What was just committed is forwarded from memory. How far the shared store has come is written with the next offers, by
``sweep`` and ``close``: after a crash some offers are moved again, and that store knows their events.

Limits: ``QueueLimits.deliveries`` offers and ``QueueLimits.bytes`` wait for the shared store; one more raises
``QueueFull``. ``QueueLimits.waiting`` wait for the disk. A transaction has ``BATCH`` offers. All that is in the
file is as much as may wait: past it the oldest kept offers go first. ``first`` returns ``FIRST_BYTES`` behind the first
offer. ``RECENT`` offers of ``RECENT_BYTES`` are kept in memory; where more wait, they are read from the file.

A bug behind a transaction fails the offers of it, and the next transaction begins.
"""

import asyncio
import contextlib
import sqlite3
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Final, NamedTuple, TypeVar

import msgspec
import structlog

from kong_eventhooks_plugin.errors import QueueError, QueueFull, StoreUnavailable
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import Clock, Offer, QueueLimits
from kong_eventhooks_plugin.queue.nodes import SpoolState
from kong_eventhooks_plugin.queue.rows import check_texts
from kong_eventhooks_plugin.storage import sqlite
from kong_eventhooks_plugin.storage.named_sql import named_statements
from kong_eventhooks_plugin.storage.thread import CallThread
from kong_eventhooks_plugin.telemetry.raised import bug_text

T = TypeVar("T")

FILE: Final = "spool.db"
"""Its name in the data directory."""

BATCH: Final = 256
KEEP_SECONDS: Final = 3_600.0
DELETED_AT_ONCE: Final = 1_000
FIRST_BYTES: Final = 2 << 20
"""A batch of it has to get to the shared store in the time that a statement has there, over a slow network too."""
RECENT: Final = 1_024
RECENT_BYTES: Final = 4 << 20
PATIENCE: Final = 5.0
"""Seconds that a transaction waits for another process's."""

FORMAT: Final = sqlite.Format(0x4B_45_68_73, 1)
"""``KEhs``."""

SQL: Final = SimpleNamespace(
    **named_statements((resources.files("kong_eventhooks_plugin.queue.forwarding") / "spool.sql").read_text("utf-8"))
)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Offer).decode
_decode_hook = msgspec.msgpack.Decoder(Hook).decode

log = structlog.get_logger()


class Spooled(NamedTuple):
    """An offer in the spool; ``n`` is its place, ``total`` the bytes of all up to it.

    None is one that cannot be read: the file is damaged, or a newer version wrote it.
    """

    n: int
    accepted_at: float
    offer: Offer | None
    total: int


class _Waiting(NamedTuple):
    offer: Offer
    data: bytes
    future: "asyncio.Future[None]"


class Spool:
    """Everything on one event loop. ``added`` is called after each commit.

    ``monotonic`` is for how long offers are kept: the clock of day may be set ahead.
    """

    def __init__(
        self,
        path: Path,
        limits: QueueLimits,
        clock: Clock,
        added: Callable[[], None],
        monotonic: Clock = time.monotonic,
    ) -> None:
        self._path = path
        self._limits = limits
        self._clock = clock
        self._added = added
        self._monotonic = monotonic
        self._marks: deque[tuple[float, int]] = deque()
        """What was forwarded at each sweep; the first is as old as what is not kept any more, or the first of all."""
        self._connection: sqlite3.Connection | None = None
        self._thread: CallThread | None = None
        self._waiting: deque[_Waiting] = deque()
        self._writing = 0
        self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._newest = self._mark = self._saved_mark = (0, 0)
        self._going_back = False
        self._recent: deque[Spooled] = deque()
        self._first: dict[int, int] = {}
        """Place and total of what the last ``first`` returned."""
        self._oldest: float | None = None
        self._error: str | None = f"{path}: is not open"
        self.id = ""

    async def open(self) -> None:
        """Open or create the file. Raises ``StoreUnavailable``."""
        thread = CallThread("event-hooks-spool", asyncio.get_running_loop())
        try:
            self.id, (self._newest, self._mark), connection = await thread.call(lambda: _opened(self._path))
        except BaseException as error:
            if isinstance(error, StoreUnavailable):
                self._error = str(error)
            thread.stop()
            raise
        self._thread, self._connection = thread, connection  # at last: who has them takes offers
        self._saved_mark = self._mark
        self._error = None

    async def close(self, seconds: float) -> None:
        """Commit what waits, for so many seconds at most; what is left fails with ``StoreUnavailable``."""
        if self._thread is None or self._connection is None:
            return
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
            with contextlib.suppress(StoreUnavailable):
                await self._save_mark()
            await self._thread.call(self._connection.close)
        except TimeoutError:
            self._fail(self._taken(len(self._waiting)), StoreUnavailable(f"{self._path}: closed before it was written"))
        self._thread.stop()
        self._connection = None

    def add(self, offer: Offer) -> "asyncio.Future[None]":
        """Return a future that ends when the offer is committed. Raises ``QueueFull``, ``QueueError``."""
        if self._connection is None:
            raise StoreUnavailable(self._error or f"{self._path}: is not open")
        if len(self._waiting) + self._writing >= self._limits.waiting:
            raise QueueFull("buffer", f"{self._limits.waiting} offers wait for the disk already")
        offers, size = self._sizes()
        if offers >= self._limits.deliveries:
            raise QueueFull("queue_full", f"{offers} events wait for the shared store already")
        if size >= self._limits.bytes:
            raise QueueFull("queue_bytes", f"{size} bytes of events wait for the shared store already")
        check_texts(offer.event)
        try:
            data = _encode(offer)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise QueueError(f"event {offer.event.id} cannot be written: {error}") from error
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(offer, data, future))
        if not self._busy:
            self._write()
        return future

    def error(self) -> str | None:
        """Return why nothing can be written, as the last transaction or the opening showed."""
        return self._error

    async def first(self, limit: int, *, after: int = 0) -> list[Spooled]:
        """Return the first offers that wait for the shared store, of those ``after`` a place."""
        start = max(after, self._mark[0])
        found = self._in_memory(start, limit)
        if not found:
            found = await self.run(lambda connection: _small(_read(connection, start, limit)))
        if after == 0:
            self._oldest = found[0].accepted_at if found else None
        self._first = {one.n: one.total for one in found}
        return found

    @property
    def is_drained(self) -> bool:
        """Whether all that this process has added is forwarded."""
        return self._mark[0] >= self._newest[0]

    @property
    def position(self) -> int:
        """The place of the last offer that the shared store has committed."""
        return self._mark[0]

    async def forwarded(self, n: int) -> None:
        """Remember that the shared store has committed everything up to a place."""
        if n in self._first:
            self._mark = max(self._mark, (n, self._first[n]))
        else:
            await self._move_mark(SQL.set_mark, n)

    async def go_back(self, n: int) -> None:
        """Have everything after a place wait again, as far as it is kept."""
        self._marks.clear()
        await self._save_mark()
        self._going_back = True  # what is written behind it does not move the mark again
        try:
            await self._move_mark(SQL.go_back, n)
        finally:
            self._going_back = False

    async def sweep(self) -> int:
        """Delete what is kept no longer; return how many. Call it regularly: it notes what is forwarded by now."""
        await self._save_mark()
        (newest, size), forwarded = self._newest, self._mark[0]
        old = self._forwarded_long_ago(forwarded)

        def delete(connection: sqlite3.Connection) -> int:
            oldest, size_before = connection.execute(SQL.oldest).fetchone() or (newest, size)
            fits = newest - oldest < self._limits.deliveries and size - size_before <= self._limits.bytes
            return connection.execute(SQL.delete_kept, (old if fits else forwarded, DELETED_AT_ONCE)).rowcount

        total = 0
        while deleted := await self.run(delete):
            total += deleted
        return total

    def waiting(self) -> SpoolState:
        """Return what waits, without a look at the disk: the oldest is that of the last ``first``."""
        offers, size = self._sizes()
        return SpoolState(offers, size, self._oldest if offers else None)

    async def state(self) -> SpoolState:
        mark = self._mark[0]
        oldest = await self.run(lambda connection: connection.execute(SQL.oldest_after, (mark,)).fetchone())
        return SpoolState(*self._sizes(), None if oldest is None else oldest[0])

    async def definitions(self) -> list[Hook]:
        """Return every stored hook definition."""
        rows = await self.run(lambda connection: connection.execute(SQL.definitions).fetchall())
        return [_decode_hook(row[0]) for row in rows]

    async def store_definitions(self, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
        """Write definitions and delete the removed ids, in one transaction."""
        rows = [(hook.id, _encode(hook)) for hook in hooks]

        def store(connection: sqlite3.Connection) -> None:
            with sqlite.transaction(connection):
                connection.executemany(SQL.delete_definition, [(hook_id,) for hook_id in removed])
                connection.executemany(SQL.write_definition, rows)

        await self.run(store)

    async def run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Call with the connection, in the thread. SQLite's errors become ``StoreUnavailable``."""
        connection, thread = self._connection, self._thread
        if connection is None or thread is None:
            raise StoreUnavailable(f"{self._path}: is not open")
        try:
            return await thread.call(lambda: call(connection))
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error

    def _forwarded_long_ago(self, forwarded: int) -> int:
        """Return up to which place everything was forwarded ``KEEP_SECONDS`` ago."""
        now = self._monotonic()
        self._marks.append((now, forwarded))
        while len(self._marks) > 1 and self._marks[1][0] <= now - KEEP_SECONDS:
            self._marks.popleft()
        at, n = self._marks[0]
        return n if at <= now - KEEP_SECONDS else 0

    def _sizes(self) -> tuple[int, int]:
        return self._newest[0] - self._mark[0], self._newest[1] - self._mark[1]

    def _in_memory(self, start: int, limit: int) -> list[Spooled]:
        """Return what follows a place, if the next is there."""
        recent = self._recent
        while recent and recent[0].n <= self._mark[0]:
            recent.popleft()
        if not recent or recent[0].n > start + 1:
            return []
        return _small(islice((one for one in recent if one.n > start), limit))

    async def _save_mark(self) -> None:
        if self._mark != self._saved_mark:
            mark = self._mark
            await self.run(lambda connection: connection.execute(SQL.set_mark, (mark[0],)))
            self._saved_mark = mark

    async def _move_mark(self, statement: str, n: int) -> None:
        def move(connection: sqlite3.Connection) -> tuple[tuple[int, int], tuple[int, int]]:
            connection.execute(statement, (n,))
            return _positions(connection)

        self._newest, self._mark = await self.run(move)
        self._saved_mark = self._mark

    def _write(self) -> None:
        """Write the next batch in the thread."""
        connection, thread = self._connection, self._thread
        if connection is None or thread is None:
            return
        now, mark = self._clock(), None if self._going_back else self._mark
        batch = self._taken(BATCH)
        self._busy = True
        self._idle.clear()
        self._writing = len(batch)
        thread.run(
            lambda: _add(connection, [waiting.data for waiting in batch], now, mark[0] if mark else 0),
            lambda newest, error: self._written(batch, newest, error, now, mark),
        )

    def _written(
        self,
        batch: list[_Waiting],
        newest: tuple[int, int] | None,
        error: Exception | None,
        now: float,
        mark: tuple[int, int] | None,
    ) -> None:
        self._writing, self._busy = 0, False
        try:
            if newest is None:
                self._error = f"{self._path}: {error}"
                self._fail(batch, StoreUnavailable(self._error))
            else:
                self._committed(batch, newest, now, mark)
        except Exception as bug:
            if self._error is None:
                log.exception("store_unavailable", file=str(self._path), error=bug_text(bug))
            self._error = f"{self._path}: {bug_text(bug)}"
            self._fail(batch, StoreUnavailable(self._error))
        if self._waiting:
            self._write()
        else:
            self._idle.set()

    def _committed(
        self, batch: Sequence[_Waiting], newest: tuple[int, int], now: float, mark: tuple[int, int] | None
    ) -> None:
        self._newest, self._saved_mark = newest, mark or self._saved_mark
        self._keep(batch, newest, now)
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_result(None)
        self._added()
        self._error = None

    def _keep(self, batch: Sequence[_Waiting], newest: tuple[int, int], now: float) -> None:
        """Keep in memory what was committed last, without a gap."""
        recent = self._recent
        n, total = newest[0] - len(batch), newest[1] - sum(len(waiting.data) for waiting in batch)
        if recent and recent[-1].n != n:
            recent.clear()
        for waiting in batch:
            n, total = n + 1, total + len(waiting.data)
            recent.append(Spooled(n, now, waiting.offer, total))
        if len(recent) > RECENT or recent[-1].total - recent[0].total > RECENT_BYTES:
            recent.clear()

    def _taken(self, limit: int) -> list[_Waiting]:
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def _fail(self, batch: Sequence[_Waiting], error: StoreUnavailable) -> None:
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_exception(error)


def _opened(path: Path) -> tuple[str, tuple[tuple[int, int], tuple[int, int]], sqlite3.Connection]:
    """Return a connection, the spool's own name and its positions."""
    try:
        sqlite.create(path, with_directory=True)
        with sqlite.connection_to(path, PATIENCE) as connection:
            FORMAT.version_of(connection, path)
            sqlite.use_write_ahead_log(connection, path)
            connection.executescript("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216;")
            FORMAT.migrate(connection, path, {1: SQL.schema})
            connection.execute(SQL.name_itself, (str(uuid.uuid4()),))
            (name,) = connection.execute(SQL.own_name).fetchone()
            return name, _positions(connection), connection
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path}: {error}") from error


def _add(connection: sqlite3.Connection, offers: Sequence[bytes], now: float, mark: int) -> tuple[int, int]:
    """Commit offers, and up to which place all is forwarded; return place and total of the last."""
    with sqlite.transaction(connection):
        connection.execute(SQL.set_mark, (mark,))
        newest, _ = _positions(connection)
        total = newest[1]
        rows = []
        for offer in offers:
            total += len(offer)
            rows.append((total, now, offer))
        connection.executemany(SQL.add, rows)
        (last,) = connection.execute("SELECT max(n) FROM offers").fetchone()
    return last, total


def _read(connection: sqlite3.Connection, start: int, limit: int) -> Iterator[Spooled]:
    for n, accepted_at, offer, total in connection.execute(SQL.after, (start, limit)):
        yield Spooled(n, accepted_at, _readable(offer), total)


def _readable(offer: bytes) -> Offer | None:
    try:
        return _decode(offer)
    except (msgspec.MsgspecError, ValueError):
        return None


def _small(offers: Iterable[Spooled]) -> list[Spooled]:
    """Return the first one, and ``FIRST_BYTES`` of those behind it."""
    some: list[Spooled] = []
    for one in offers:
        if some and one.total - some[0].total > FIRST_BYTES:
            break
        some.append(one)
    return some


def _positions(connection: sqlite3.Connection) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return place and total of the newest offer, and of the last that was forwarded."""
    mark = connection.execute(SQL.mark).fetchone()
    return connection.execute(SQL.newest).fetchone() or mark, mark
