"""A connection that writes: transactions one after another, each repeated where that is right.

- A conflict (a deadlock, an event that another node inserted meanwhile) begins the transaction again, up to ``TRIES``
  times.
- A connection that is lost before the COMMIT is made anew, once, and the transaction run again.
- A connection that is lost in the COMMIT, or in a call that is a transaction by itself, leaves the outcome unknown. The
  next connection asks the writer's row, whose
  lock waits for a transaction that is still under way: it was committed, and has the answer that it had, or it runs
  again. Where no connection can be had the callers get ``StoreUnavailable``, and the question stays for the next one.
- Each new connection is asked for the last transaction: a store that does not have it has gone back.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from kong_eventhooks_plugin.errors import StoreUnavailable, StoreWentBack
from kong_eventhooks_plugin.queue.contract import Clock, QueueLimits
from kong_eventhooks_plugin.queue.holders import this_process
from kong_eventhooks_plugin.queue.postgresql.connection import Address, Connection
from kong_eventhooks_plugin.queue.postgresql.errors import kind_of, state_of, to_queue_error
from kong_eventhooks_plugin.queue.postgresql.statements import SQL
from kong_eventhooks_plugin.queue.postgresql.texts import plain
from kong_eventhooks_plugin.queue.postgresql.transaction import (
    REMEMBERED,
    BeginAgain,
    HookNumbers,
    LimitsNear,
    Transaction,
    WriterGone,
)

T = TypeVar("T")
A = TypeVar("A")
Answer = TypeVar("Answer", covariant=True)

TRIES = 20
PAUSE = 0.05
"""Seconds: the longest random pause before a conflict's second try."""

OF_CALL = 5
"""Columns of the rows of ``write`` that are of the call: its time first, at last whether it has written. The last row
has them; the others have a delivery, behind these."""

OVERLAP = 1.0
"""Seconds: so much earlier than the last answer one may be that was on its way longer, by a clock that goes right."""

Work = Callable[[Transaction], Awaitable[T]]


class StoreClock:
    """The store's time, which is the database's, as its last answer had it; and how far a time of this node is from it.

    ``clock`` is this node's, which may be set: between two answers the store's time goes on as ``monotonic`` does.
    ``database`` is False in tests, which set the time.
    """

    def __init__(self, clock: Clock, *, database: bool, monotonic: Clock = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._database = database
        self._began = 0.0  # the store's time at 0 of ``monotonic``
        self._last = 0.0
        self.was_set_back = True
        """Since whoever asks has set it to False; True at first, as it may have happened before."""

    async def read(self, connection: Connection) -> float:
        """Return the store's time."""
        if not self._database:
            return self._note(0.0, self._clock())
        asked_at = self._monotonic()
        return self._note(asked_at, float(await connection.fetchval(SQL.now)))

    def given(self) -> float | None:
        """Return the time to give to the store; None where that has its own."""
        return None if self._database else self.note(self._clock())

    def note(self, now: float) -> float:
        """Take the store's time from what it has answered."""
        return self._note(self._monotonic(), now)

    def _note(self, at: float, now: float) -> float:
        self._began = now - at
        self.was_set_back |= now < self._last - OVERLAP
        self._last = now
        return now

    def to_store(self, time: float) -> float:
        """Return the store's time for a time of this node."""
        return time + self._ahead()

    def to_node(self, time: float) -> float:
        return time - self._ahead()

    def _ahead(self) -> float:
        return self._began + self._monotonic() - self._clock() if self._database else 0.0


class Hooks(NamedTuple):
    """Which hooks a transaction names: ``made`` get a number, in this order; ``known`` may have one."""

    made: Collection[str] = ()
    known: Collection[str] = ()


NO_HOOKS = Hooks()


class Call(Protocol[Answer]):
    """A call of ``write``, for one batch."""

    def values(self, hooks: HookNumbers) -> list[Any]:
        """Return the parameters behind those that say who writes."""

    def answer(self, rows: Sequence[Sequence[Any]], hooks: HookNumbers) -> Answer: ...

    async def recovered(self, connection: Connection, writer: int, hooks: HookNumbers) -> Answer:
        """Return the answer, which was lost: the call was committed, and is this writer's last transaction."""


class _Unknown(NamedTuple):
    """A transaction that may be committed: the writer's row says it by its number."""

    number: int
    answer: Callable[[Connection], Awaitable[Any]]


class _Known(NamedTuple):
    """What a transaction answered of which it was unknown whether it was committed."""

    answer: Any


class Lane(Generic[T]):
    """``committed_late(answer)`` is called for a transaction whose callers had given up before it was known.

    ``went_back`` is called before the first transaction on a store that has lost some which it had committed.
    ``process`` is whose leases it takes, ours where it is None.
    """

    def __init__(
        self,
        address: Address,
        limits: QueueLimits,
        clock: StoreClock,
        committed_late: Callable[[Any], None] = lambda _: None,
        went_back: Callable[[], None] = lambda: None,
        connection: Connection | None = None,
        process: str | None = None,
    ) -> None:
        self._address = address
        self.limits = limits
        self._clock = clock
        self._committed_late = committed_late
        self._went_back = went_back
        self._process = process or this_process()
        self._lock = asyncio.Lock()
        self._connection = connection
        self._hooks = HookNumbers()
        self._number = self._committed = 0
        self._is_known = connection is not None
        """Whether the connection has been asked how far the store is."""
        self._unknown: _Unknown | None = None
        self.writer: int | None = None
        """Which row of ``writers`` it has; its leases carry it."""
        self._opened_at = 0.0
        """In that row too: a store that went back gives the row's number away again."""

    async def run(self, work: Work[T], hooks: Hooks = NO_HOOKS) -> T:
        """Run ``work`` in a transaction, as often as it takes.

        ``work`` may raise one of our errors as its answer: the transaction is rolled back.
        """
        return await self._locked(lambda connection: self._once(connection, work, hooks))

    async def call(self, call: Call[T], hooks: Hooks) -> T | None:
        """Make a call, as often as it takes: it is a transaction by itself. None: a limit is near, nothing is done."""
        return await self._locked(lambda connection: self._called(connection, call, hooks))

    async def close(self) -> None:
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with contextlib.suppress(Exception):
                    await connection.close(timeout=1)

    async def _locked(self, once: Callable[[Connection], Awaitable[A]]) -> A:
        async with self._lock:
            try:
                return await self._run(once)
            except asyncio.CancelledError:
                self._drop()
                raise

    async def _run(self, once: Callable[[Connection], Awaitable[A]]) -> A:
        lost = False
        for attempt in range(TRIES):
            connection, known = await self._connected()
            if known is not None:
                if lost:
                    return known.answer  # type: ignore[no-any-return]  # what this very work answered
                self._committed_late(known.answer)
            try:
                return await once(connection)
            except BeginAgain as again:
                await self._roll_back(connection)
                if isinstance(again, WriterGone):
                    self.writer = None
            except Exception as error:
                kind = kind_of(error)
                if kind == "lost":
                    self._drop()
                    if not lost:
                        lost = True
                        continue
                else:
                    await self._roll_back(connection)
                if kind != "conflict" or attempt + 1 == TRIES:
                    raise to_queue_error(error, self._address.name) from error
                await asyncio.sleep(random.uniform(0, PAUSE))  # noqa: S311  # so that two nodes do not meet again
        raise StoreUnavailable(f"{self._address.name}: {TRIES} transactions in a row met those of other nodes")

    async def _once(self, connection: Connection, work: Work[T], hooks: Hooks) -> T:
        writer = await self._prepared(connection, hooks)
        await connection.execute("BEGIN")
        transaction = Transaction(connection, self.limits, writer, await self._clock.read(connection), self._hooks)
        answer = await work(transaction)
        await transaction.flush(self._number, self._opened_at)
        self._unknown = _Unknown(self._number, lambda _: _value(answer))
        try:
            ended = await connection.execute("COMMIT")
        except Exception as error:
            if kind_of(error) != "lost":
                self._unknown = None  # the server has said that it is rolled back
            raise
        self._unknown = None
        if ended != "COMMIT":
            raise BeginAgain  # an error of a statement was passed over
        self._committed = self._number
        return answer

    async def _called(self, connection: Connection, call: Call[T], hooks: Hooks) -> T | None:
        writer = await self._prepared(connection, hooks)
        try:
            values = (writer, self._opened_at, self._number, self._clock.given(), *call.values(self._hooks))
            self._unknown = _Unknown(self._number, partial(self._recovered, call, hooks, writer))
            rows = await connection.fetch(SQL.write, *values)
        except LimitsNear:
            return None
        except Exception as error:
            if kind_of(error) == "lost":
                raise
            self._unknown = None  # the server has said that it is rolled back
            if (ours := _raised(error)) is None:
                return None
            raise ours from error
        self._unknown = None
        now, *_, kept = rows[-1][:OF_CALL]
        if kept:
            self._committed = self._number
        self._clock.note(now)
        return call.answer(rows, self._hooks)

    async def _recovered(self, call: Call[T], hooks: Hooks, writer: int, connection: Connection) -> T:
        await self._number_hooks(connection, hooks)
        return await call.recovered(connection, writer, self._hooks)

    async def _prepared(self, connection: Connection, hooks: Hooks) -> int:
        """Return which row of ``writers`` the next transaction has; its hooks have numbers."""
        await self._number_hooks(connection, hooks)
        if self.writer is None:
            self._opened_at = await self._clock.read(connection)
            self.writer = await connection.fetchval(SQL.add_writer, self._process, self._opened_at)
            assert self.writer is not None  # noqa: S101  # an INSERT that returns has a row
        self._number += 1
        return self.writer

    async def _number_hooks(self, connection: Connection, hooks: Hooks) -> None:
        """Outside of a transaction, so that what is remembered is committed."""
        if len(self._hooks) > REMEMBERED:
            self._hooks = HookNumbers()
        made = [hook_id for hook_id in hooks.made if hook_id not in self._hooks]
        if made:
            await connection.execute(SQL.add_hooks, made)
        wanted = [*made, *(hook_id for hook_id in hooks.known if hook_id not in self._hooks)]
        if wanted:
            self._hooks.learn(await connection.fetch(SQL.hook_numbers, [plain(hook_id) for hook_id in wanted]))

    async def _connected(self) -> tuple[Connection, _Known | None]:
        """Return a connection and, where the outcome of a transaction was unknown and it was committed, its answer."""
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = await self._address.connect()
            self._connection = connection
            self._is_known = False
            # Another server may answer now, one that has not everything: nothing that was remembered holds.
            self._hooks = HookNumbers()
        try:
            return connection, await self._resolved(connection)
        except Exception as error:
            self._drop()
            raise to_queue_error(error, self._address.name) from error

    async def _resolved(self, connection: Connection) -> _Known | None:
        is_known, self._is_known = self._is_known, True
        if is_known or self.writer is None:
            return None
        last = await connection.fetchval(SQL.last_transaction, self.writer, self._opened_at)
        unknown = self._unknown
        if last is not None and unknown is not None and last >= unknown.number:
            known = _Known(await unknown.answer(connection))
            self._unknown, self._committed = None, unknown.number
            return known
        self._unknown = None
        if last is None:
            self.writer = None
        if last is None or last < self._committed:
            self._went_back()
        return None

    async def _roll_back(self, connection: Connection) -> None:
        if not connection.is_in_transaction():
            return
        try:
            await connection.execute("ROLLBACK")
        except Exception:  # noqa: BLE001  # whatever it is: another connection
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _value(value: T) -> T:
    return value


def _raised(error: Exception) -> Exception | None:
    """Return what ``write`` has raised as ours, None where a limit is near; any other error as it is."""
    match state_of(error):
        case "KE001":
            return None
        case "KE002":
            return WriterGone()
        case "KE003":
            return StoreWentBack(int(str(error)))
    return error
