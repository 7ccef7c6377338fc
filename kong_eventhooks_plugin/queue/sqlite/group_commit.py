"""Group commit: everything that writes shares the next transaction, and is answered after its commit.

One transaction at a time. Settlements can wait for the next one for a while (``queue.patience``): a commit costs more
than what is in it. While a COMMIT waits for the disk in the store's thread, new operations collect; they are
the next transaction. Statements run on the loop's thread, what may block does not (the package's docstring says why).

Limits (``queue.limits``), and what happens past them:

- A transaction has at most ``BATCH`` of each kind, offers and others, and ``BATCH_DELIVERIES`` of offers; the rest goes
  into the next one.
- A settlement that waits is lost where the process dies: that delivery is sent again.
- Accepting comes first: while more offers wait than one transaction holds, claims, settlements and ``heavy`` operations
  wait, for at most ``YIELDS`` transactions; then they have one, and wait again.
- Waiting offers are bounded by ``QueueLimits.waiting`` (the engine counts them), other operations by ``WAITING``: one
  more fails with ``StoreUnavailable``.
- Another process's lock is waited for as long as it lasts, and logged every ``LOCK_LOG_SECONDS``: giving up would lose
  events that still fit into memory. Closing waits no longer than the engine says.

An error in one operation fails none of the others: the transaction is rolled back and run again, each operation in a
savepoint of its own. An error of the store fails the operations of this transaction; the next one tries again. A bug in
the cycle itself fails everything that waits, and the next operation begins it anew.
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog

from kong_eventhooks_plugin.errors import EventHooksError, StoreUnavailable
from kong_eventhooks_plugin.queue.accepting import Offered, first, first_offers
from kong_eventhooks_plugin.queue.contract import Clock, Taker
from kong_eventhooks_plugin.queue.hand_over import hand_over
from kong_eventhooks_plugin.queue.limits import BATCH, YIELDS, check_room
from kong_eventhooks_plugin.queue.patience import Patience
from kong_eventhooks_plugin.queue.sqlite.accept import accept
from kong_eventhooks_plugin.queue.sqlite.checkpoints import Checkpoints
from kong_eventhooks_plugin.queue.sqlite.counters import Counters
from kong_eventhooks_plugin.queue.sqlite.errors import is_bug, to_queue_error
from kong_eventhooks_plugin.queue.store_status import StoreStatus
from kong_eventhooks_plugin.queue.waiter import Recipient, Waiter, fail_all
from kong_eventhooks_plugin.storage.sqlite import is_busy
from kong_eventhooks_plugin.storage.thread import CallThread
from kong_eventhooks_plugin.telemetry.raised import bug_text

T = TypeVar("T")
P = ParamSpec("P")

LOCK_MILLISECONDS = 250
LOCK_LOG_SECONDS = 5.0

log = structlog.get_logger()


class WriteOperation(Waiter[T]):
    """Something to write: ``run(counters)`` inside the transaction.

    ``run`` may raise one of our errors as its answer, as long as it has written nothing before.
    """

    __slots__ = ("run",)

    def __init__(self, run: Callable[[Counters], T], recipient: Recipient[T]) -> None:
        super().__init__(recipient)
        self.run = run


class Batch:
    """One transaction's operations. ``heavy``: it runs in the store's thread as a whole. ``apart``: one by one."""

    __slots__ = ("apart", "heavy", "offers", "operations", "taker")

    def __init__(
        self,
        operations: list[WriteOperation[Any]],
        offers: list[Offered],
        *,
        heavy: bool = False,
        taker: Taker | None = None,
    ) -> None:
        self.operations = operations
        self.offers = offers
        self.heavy = heavy
        self.taker = taker
        self.apart = False

    def run(self, counters: Counters, path: Path) -> None:
        """Run all operations, inside a transaction that has begun."""
        if self.apart:
            self._run_apart(counters, path)
            return
        for operation in self.operations:
            try:
                operation.answer = operation.run(counters)
            except EventHooksError as error:
                operation.error = error
        if self.offers:
            accept(counters, self.offers, self.taker)
        counters.flush()

    def _run_apart(self, counters: Counters, path: Path) -> None:
        for operation in self.operations:

            def run(operation: WriteOperation[Any] = operation) -> None:
                operation.answer = operation.run(counters)

            operation.error = _in_savepoint(counters, path, run)
        for offered in self.offers:
            offered.error = _in_savepoint(counters, path, partial(accept, counters, [offered], None))

    def resolve(self) -> None:
        """Answer every caller, after the commit."""
        for waiting in self.waiters():
            waiting.resolve()

    def fail(self, error: EventHooksError) -> None:
        for waiting in self.waiters():
            waiting.fail(error)

    def waiters(self) -> Iterator[Waiter[Any]]:
        yield from self.operations
        yield from self.offers


def _in_savepoint(counters: Counters, path: Path, run: Callable[[], None]) -> EventHooksError | None:
    """Run one operation; what it wrote is rolled back when it fails. Raises where the whole transaction is lost."""
    execute = counters.cursor.execute
    execute("SAVEPOINT one")
    woken = set(counters.woken)
    try:
        run()
        counters.flush()
    except Exception as error:  # whatever it is, it fails no other operation
        if not counters.connection.in_transaction:
            raise
        execute("ROLLBACK TO one")
        counters.forget()
        counters.woken = woken
        counters.begin(counters.now)
        return to_queue_error(error, path)
    finally:
        if counters.connection.in_transaction:
            execute("RELEASE one")
    return None


def _step(
    run: "Callable[Concatenate[GroupCommit, P], None]",
) -> "Callable[Concatenate[GroupCommit, P], None]":
    """Guard what the loop or the thread calls: nobody else sees what it raises."""

    def guarded(cycle: "GroupCommit", /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            run(cycle, *args, **kwargs)
        except Exception as bug:  # noqa: BLE001  # an error that escaped would end all further commits
            cycle.recover(bug)

    return guarded


class GroupCommit:
    """Turns waiting operations into transactions. Runs on the loop; calls ``wake`` with hooks that have new work."""

    def __init__(
        self, connection: sqlite3.Connection, counters: Counters, path: Path, clock: Clock, wake: Callable[[str], None]
    ) -> None:
        self._connection = connection
        self._counters = counters
        self._execute = counters.cursor.execute
        self._commit = partial(self._execute, "COMMIT")
        self._path = path
        self._clock = clock
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._thread = CallThread("event-hooks-store", self._loop)
        self._checkpoints = Checkpoints(path, self._loop)
        self._offers: deque[Offered] = deque()
        self._operations: deque[WriteOperation[Any]] = deque()
        self._yielding: deque[WriteOperation[Any]] = deque()
        self._yielded = 0
        self._heavy: deque[WriteOperation[Any]] = deque()
        self._heavy_next = False
        self._patience: Patience[WriteOperation[Any]] = Patience(self._loop, self.hurry)
        self._busy = False
        self._status = StoreStatus(str(path), "has been writing, or waiting for another process's lock,")
        self._changes = 0
        self._closing = False
        self._current: Batch | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self.waiting = 0
        """Offers that are not committed yet."""
        self.taker: Taker | None = None
        """Leases new deliveries as they are accepted."""

    def offer(self, offered: Offered) -> None:
        self.waiting += 1
        self._offers.append(offered)
        if not self._busy:
            self._start()

    def submit(self, run: Callable[[Counters], T], *, heavy: bool = False, yields: bool = False) -> "asyncio.Future[T]":
        """Put an operation into the next transaction; a ``heavy`` one gets its own, in the thread.

        One that ``yields``, and a heavy one, wait while offers are behind.
        """
        queue = self._heavy if heavy else self._yielding if yields else self._operations
        check_room(queue, self._path)
        future: asyncio.Future[T] = self._loop.create_future()
        queue.append(WriteOperation(run, future))
        if not self._busy:
            self._start()
        return future

    def submit_soon(self, run: Callable[[Counters], T], recipient: Recipient[T], *, prompt: bool) -> None:
        """Put an operation into the next transaction, which is begun for it only after a while, or if it is prompt."""
        check_room(self._patience.waiting, self._path)
        self._patience.add(WriteOperation(run, recipient))
        if prompt:
            self.hurry()

    def hurry(self) -> None:
        """Begin the transaction that ``submit_soon`` waits for."""
        self._yielding.extend(self._patience.take())
        if self._yielding and not self._busy:
            self._start()

    def error(self) -> str | None:
        """Return why nothing can be written now, as far as is known without a write."""
        return self._status.error()

    async def close(self, seconds: float) -> None:
        """Commit what waits, for so many seconds at most; what is left fails with ``StoreUnavailable``."""
        self.hurry()
        if not await self._becomes_idle(seconds):
            self._closing = True
            log.error("store_close_incomplete", file=str(self._path), offers=self.waiting)
            self._fail_waiting(StoreUnavailable(f"{self._path}: closed before this was known to be written"))
            # It was a lock: the thread gives up waiting for it now. Or the disk: the connection stays with the thread.
            if not await self._becomes_idle(2 * LOCK_MILLISECONDS / 1000):
                self._thread.stop()
                return
        await self._checkpoints.close(seconds)
        await self._thread.call(self._connection.close)
        self._thread.stop()

    async def _becomes_idle(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def recover(self, bug: Exception) -> None:
        """Fail everything that waits, as a bug may have lost any of it, and go on with what comes then."""
        error = StoreUnavailable(f"{self._path}: {bug_text(bug)}")
        self._status.failed(str(error), bug)
        self.waiting = 0
        self._fail_waiting(error)
        try:
            self._roll_back()
        finally:
            self._go_on()

    def _fail_waiting(self, error: EventHooksError) -> None:
        under_way = () if self._current is None else self._current.waiters()
        fail_all(error, under_way, self._operations, self._yielding, self._heavy, self._offers)

    def _start(self) -> None:
        """Begin a transaction in the loop's next iteration: it has all that this iteration offers."""
        self._busy = True
        self._idle.clear()
        self._loop.call_soon(self._next)

    @_step
    def _next(self) -> None:
        if self._checkpoints.wants_pause:
            self._checkpoints.pause(self._next)
            return
        batch = self._current = self._take()
        if batch is None:
            self._rest()
        else:
            self._status.began_at = time.monotonic()
            self._begin(batch)

    def _rest(self) -> None:
        self._busy = False
        self._current = self._status.began_at = None
        self._idle.set()

    def _take(self) -> Batch | None:
        """Return the next transaction's operations; offers first; heavy ones and others alternate."""
        if len(self._offers) > BATCH and (self._yielding or self._heavy) and self._yielded < YIELDS:
            self._yielded += 1
            offers = first_offers(self._offers)
            return Batch(first(self._operations), offers, taker=self.taker)
        self._yielded = 0
        light = bool(self._operations or self._yielding or self._offers)
        if self._heavy and (self._heavy_next or not light):
            self._heavy_next = False
            return Batch([self._heavy.popleft()], [], heavy=True)
        self._heavy_next = True
        if not light:
            return None
        offers = first_offers(self._offers)
        # Settlements before claims: what they postpone may be due.
        others = first(self._operations) + first(self._patience.waiting) + first(self._yielding)
        return Batch(others, offers, taker=self.taker)

    def _begin(self, batch: Batch) -> None:
        if batch.heavy:
            self._thread.run(self._wait_for_lock, lambda _, error: self._run_in_thread(batch, error))
            return
        try:
            self._execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if is_busy(error):
                self._thread.run(self._wait_for_lock, lambda _, error: self._begun(batch, error))
            else:
                self._fail(batch, error)
        else:
            self._begun(batch, None)

    @_step
    def _begun(self, batch: Batch, error: Exception | None) -> None:
        """Run the statements here, the COMMIT in the thread."""
        if error is None:
            error = self._attempt(batch)
        if error is None:
            self._thread.run(self._commit, partial(self._ended, batch))
        else:
            self._ended(batch, None, error)

    @_step
    def _run_in_thread(self, batch: Batch, error: Exception | None) -> None:
        def attempt_and_commit() -> None:
            error = self._attempt(batch)
            if error is not None:
                raise error
            self._commit()

        if error is None:
            self._thread.run(attempt_and_commit, partial(self._ended, batch))
        else:
            self._ended(batch, None, error)

    def _attempt(self, batch: Batch) -> Exception | None:
        self._changes = self._connection.total_changes
        try:
            self._counters.begin(self._clock())
            batch.run(self._counters, self._path)
        except Exception as error:  # noqa: BLE001  # an error that escaped would end all further commits
            return error
        return None

    @_step
    def _ended(self, batch: Batch, _: object, error: Exception | None) -> None:
        """Answer a transaction that was committed or has failed. The connection is the loop's again."""
        if error is not None and not batch.apart and self._connection.in_transaction and not batch.heavy:
            # One operation alone may be wrong: run each apart.
            self._roll_back()
            batch.apart = True
            self._begin(batch)
            return
        if error is not None:
            self._fail(batch, error)
            return
        if self._status.failing is not None and self._connection.total_changes > self._changes:
            self._status.recovered()  # a transaction without a change needs no disk
        self._checkpoints.committed(self._connection.total_changes - self._changes, heavy=batch.heavy)
        batch.resolve()
        hand_over(self.taker, self._counters.take_leased())
        for hook_id in self._counters.take_woken():
            self._wake(hook_id)
        self._continue(batch)

    def _fail(self, batch: Batch, error: Exception) -> None:
        self._roll_back()
        queue_error = to_queue_error(error, self._path)
        self._status.failed(str(queue_error), error if is_bug(error) else None)
        batch.fail(queue_error)
        self._continue(batch)

    def _continue(self, batch: Batch) -> None:
        """Go on with the next transaction, after the callers of this one have run."""
        self.waiting -= len(batch.offers)
        self._go_on()

    def _go_on(self) -> None:
        if self._offers or self._operations or self._yielding or self._heavy or self._checkpoints.wants_pause:
            self._loop.call_soon(self._next)
        else:
            self._rest()

    def _roll_back(self) -> None:
        self._counters.forget()
        if self._connection.in_transaction:
            try:
                self._execute("ROLLBACK")
            except sqlite3.Error as error:
                # Seen with failing disks; the next BEGIN shows whether the connection still works.
                log.warning("store_rollback_failed", file=str(self._path), error=str(error))

    def _wait_for_lock(self) -> None:
        """Begin a transaction, in the thread, when the other process releases its lock."""
        execute = self._execute
        execute(f"PRAGMA busy_timeout = {LOCK_MILLISECONDS}")
        began = logged = time.monotonic()
        try:
            while not self._closing:
                if self._begins():
                    return
                if time.monotonic() - logged >= LOCK_LOG_SECONDS:
                    logged = time.monotonic()
                    log.warning("store_locked", file=str(self._path), seconds=logged - began)
        finally:
            execute("PRAGMA busy_timeout = 0")
        raise StoreUnavailable(f"{self._path}: closed while another process had it locked")

    def _begins(self) -> bool:
        """Return whether a transaction began; not while closing, when its callers have their errors already."""
        try:
            self._execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if not is_busy(error):
                raise
            return False
        if self._closing:
            self._execute("ROLLBACK")
        return not self._closing
