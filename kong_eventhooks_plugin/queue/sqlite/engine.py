"""``SqliteQueue``: the queue's contract (its docstrings are there) over one SQLite file.

Any number of processes may have one file open; limits, duplicates, suppression and leases hold across them.
``CLOSING`` seconds is how long ``close`` waits for what is not committed, ``RELEASING`` how long ``open`` waits until
orphaned leases are due again (past it that happens as soon as the file can be written).
"""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from kong_eventhooks_plugin.errors import QueueError, QueueFull, StoreUnavailable
from kong_eventhooks_plugin.model.delivery import Attempt, Delivery
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.suppression import SuppressionSlot
from kong_eventhooks_plugin.queue.accepting import Offered
from kong_eventhooks_plugin.queue.contract import (
    Candidate,
    Clock,
    DeliveryFilter,
    DeliveryPage,
    EndpointHealth,
    EventFilter,
    EventPage,
    Offer,
    QueueLimits,
    Receipt,
    Replayed,
    Settlement,
    SettlementSource,
    Stats,
    Taker,
    Work,
)
from kong_eventhooks_plugin.queue.limits import REPLAYED_AT_ONCE
from kong_eventhooks_plugin.queue.retention import Forgetting
from kong_eventhooks_plugin.queue.rows import encoded
from kong_eventhooks_plugin.queue.sqlite import leases, reads, retention, settling, small_tables
from kong_eventhooks_plugin.queue.sqlite.counters import Counters
from kong_eventhooks_plugin.queue.sqlite.file import open_writer
from kong_eventhooks_plugin.queue.sqlite.group_commit import GroupCommit
from kong_eventhooks_plugin.queue.sqlite.reads import Reader
from kong_eventhooks_plugin.queue.waiter import SourceRecipient
from kong_eventhooks_plugin.storage.thread import CallThread

T = TypeVar("T")

DATABASE = "events.db"
"""The file's name in the data directory."""

CLOSING = 5.0
REPLAYED_TOGETHER = 500
RELEASING = 2.0

log = structlog.get_logger()


class SqliteQueue:
    """The durable queue in one file. ``read_only`` reads another process's store and changes nothing in it.

    ``clock`` gives Unix seconds. All methods are called on the loop that ``open`` ran on.
    """

    def __init__(
        self, path: Path, limits: QueueLimits | None = None, clock: Clock = time.time, *, read_only: bool = False
    ) -> None:
        self._path = path
        self._limits = limits or QueueLimits()
        self._clock = clock
        self._forgetting = Forgetting(clock)
        self._read_only = read_only
        self._listeners: list[Callable[[str], None]] = []
        self._reader: Reader | None = None
        self._group_commit: GroupCommit | None = None
        self._leading = False
        self._taker: Taker | None = None
        self._closed = f"{path}: is not open"

    async def open(self) -> None:
        """Create or open the file, migrate it; make leases due again where no process delivers."""
        loop = asyncio.get_running_loop()
        if not self._read_only:
            opener = CallThread("event-hooks-store-opening", loop)
            try:
                connection = await opener.call(lambda: open_writer(self._path))
            except StoreUnavailable as error:
                self._closed = str(error)  # for /readyz: the log may have turned by now
                raise
            finally:
                opener.stop()
            owner = secrets.randbits(62) + 1
            counters = Counters(connection, self._limits, owner)
            self._group_commit = GroupCommit(connection, counters, self._path, self._clock, self._wake)
            self._group_commit.taker = self._taker
            # Where another process has the file locked this happens later; accepting does not wait for it. Where the
            # store fails, the next leader does it.
            releasing = self._group_commit.submit(_release_orphaned_leases)
            releasing.add_done_callback(lambda done: done.exception())
            await asyncio.wait([releasing], timeout=RELEASING)
        self._reader = Reader(self._path, loop)
        try:
            await self._reader.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Commit what waits, for at most ``CLOSING`` seconds, and close the file."""
        reader, self._reader = self._reader, None
        group_commit, self._group_commit = self._group_commit, None
        # The writer last: the last to close moves the log into the file and removes it, which a reader may not.
        if reader is not None:
            await reader.close()
        if group_commit is not None:
            await group_commit.close(CLOSING)

    def offer(self, offer: Offer) -> "asyncio.Future[Receipt]":
        writer = self._writer()
        if writer.waiting >= self._limits.waiting:
            raise QueueFull("buffer", f"{writer.waiting} offers wait for the store already")
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        try:
            data, scope = encoded(offer.event)
        except QueueError as error:
            future.set_exception(error)
        else:
            writer.offer(Offered(offer, data, scope, future))
        return future

    def error(self) -> str | None:
        try:
            return self._writer().error()
        except StoreUnavailable as error:
            return str(error)

    async def claim(self, hook_id: str, limit: int, lease_seconds: float) -> list[Delivery]:
        claimed = partial(leases.claim, hook_id=hook_id, limit=limit, lease_seconds=lease_seconds)
        return await self._writer().submit(claimed, yields=True)

    async def claim_first(self, hook_id: str, lease_seconds: float) -> list[Delivery]:
        claimed = partial(leases.claim_first, hook_id=hook_id, lease_seconds=lease_seconds)
        return await self._writer().submit(claimed, yields=True)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self._writer().submit(partial(settling.settle, settlements=settlements), yields=True)

    def settle_soon(self, source: SettlementSource, *, prompt: bool = False) -> None:
        def settle(counters: Counters) -> int:
            settlements = source.waiting()
            settling.settle(counters, settlements)
            return len(settlements)

        self._writer().submit_soon(settle, SourceRecipient(source), prompt=prompt)

    def hurry(self) -> None:
        if self._group_commit is not None:
            self._group_commit.hurry()

    def lease_to(self, taker: Taker) -> None:
        self._taker = taker
        if self._group_commit is not None:
            self._group_commit.taker = taker

    async def work(self) -> list[Work]:
        return await self._read(partial(reads.work, now=self._clock()))

    def on_work(self, wake: Callable[[str], None]) -> None:
        """Have ``wake(hook_id)`` called after this process's commits; another's show only in ``work``."""
        self._listeners.append(wake)

    async def get(self, delivery_id: str) -> Delivery:
        return await self._read(partial(reads.get, delivery=delivery_id, now=self._clock()))

    async def attempts(self, delivery_id: str) -> list[Attempt]:
        return await self._read(partial(reads.attempts, delivery=delivery_id))

    async def page(self, where: DeliveryFilter, size: int, offset: str | None = None) -> DeliveryPage:
        return await self._read(partial(reads.page, where=where, size=size, offset=offset, now=self._clock()))

    async def replay(self, delivery_id: str) -> Delivery:
        return await self._write(lambda counters: leases.replay(counters, delivery_id))

    async def replay_all(self, where: DeliveryFilter) -> Replayed:
        """Replay every settled delivery that ``where`` names, ``REPLAYED_TOGETHER`` a transaction."""
        found = await self._read(partial(reads.replayable, where=where, size=REPLAYED_AT_ONCE + 1))
        more, found = len(found) > REPLAYED_AT_ONCE, found[:REPLAYED_AT_ONCE]
        total = 0
        for start in range(0, len(found), REPLAYED_TOGETHER):
            some = found[start : start + REPLAYED_TOGETHER]
            count, refused = await self._writer().submit(partial(leases.replay_some, deliveries=some), heavy=True)
            total += count
            if refused is not None:
                return Replayed(total, refused, more=True)
        return Replayed(total, more=more)

    async def events(self, where: EventFilter, size: int, offset: str | None = None) -> EventPage:
        return await self._read(partial(reads.events, where=where, size=size, offset=offset, now=self._clock()))

    async def event(self, event_id: str) -> Event:
        return await self._read(partial(reads.event, event_id=event_id))

    async def suppression(self, candidate: Candidate, event: str) -> SuppressionSlot | None:
        return await self._read(partial(reads.suppression, candidate=candidate, event=event))

    async def fail_pending(self, hook_id: str, reason: str) -> int:
        return await self._repeat(lambda counters: retention.fail_some(counters, hook_id, reason))

    async def stats(self) -> Stats:
        return await self._read(partial(reads.stats, now=self._clock()))

    async def sweep(self) -> int:
        await self._repeat(retention.make_due)
        deleted = sum([await self._repeat(step) for step in retention.STEPS])
        if self._forgetting.is_due():
            await self._writer().submit(retention.forget_hooks, heavy=True)
        await self._repeat(retention.return_pages)
        return deleted

    async def lead(self, holder: str, ttl: float) -> bool:

        def lead(counters: Counters) -> bool:
            leading = small_tables.lead(counters, holder, ttl)
            if leading and not self._leading:
                # The previous leader delivers no more: what it leased is due.
                leases.release_others(counters)
            return leading

        self._leading = await self._write(lead)
        return self._leading

    async def resign(self, holder: str) -> None:
        await self._write(lambda counters: small_tables.resign(counters, holder))
        self._leading = False

    async def definitions(self) -> list[Hook]:
        return await self._read(reads.definitions)

    async def store_definitions(self, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
        await self._write(lambda counters: small_tables.store_definitions(counters, hooks, removed))

    async def endpoints(self) -> list[EndpointHealth]:
        return await self._read(reads.endpoints)

    async def save_endpoint(self, health: EndpointHealth) -> None:
        await self._write(lambda counters: small_tables.save_endpoint(counters, health))

    def _writer(self) -> GroupCommit:
        if self._group_commit is None:
            raise StoreUnavailable(f"{self._path}: is open read-only" if self._read_only else self._closed)
        return self._group_commit

    async def _write(self, run: Callable[[Counters], T]) -> T:
        return await self._writer().submit(run)

    async def _repeat(self, step: retention.Step) -> int:
        """Run a heavy step, a transaction each time, until it has nothing to do."""
        total = 0
        while done := await self._writer().submit(step, heavy=True):
            total += done
        return total

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        if self._reader is None:
            raise StoreUnavailable(self._closed)
        return await self._reader.read(read)

    def _wake(self, hook_id: str) -> None:
        for wake in self._listeners:
            try:
                wake(hook_id)
            except Exception:
                # A listener's error must not keep the next transaction from starting.
                log.exception("work_listener_failed", hook_id=hook_id)


def _release_orphaned_leases(counters: Counters) -> None:
    """Make leases of exited processes due again; where another process delivers they are its own."""
    if small_tables.leader(counters) is None:
        leases.release_others(counters)
