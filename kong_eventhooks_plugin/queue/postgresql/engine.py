"""``PostgresQueue``: the queue's contract (its docstrings are there) over one schema of a PostgreSQL.

Any number of nodes may have one store open; limits, duplicates, suppression and leases hold across them.
Connections: one for offers, claims and settlements, one for all other changes, one of ``nodes``, and those of
``reads``.
``CLOSING`` seconds is how long ``close`` waits for what is not committed, ``RELEASING`` for the end of its leases.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
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
    SpoolPlace,
    Stats,
    Taker,
    Work,
)
from kong_eventhooks_plugin.queue.limits import REPLAYED_AT_ONCE
from kong_eventhooks_plugin.queue.postgresql import leases, reads, retention, small_tables
from kong_eventhooks_plugin.queue.postgresql.connection import Address, Connection
from kong_eventhooks_plugin.queue.postgresql.errors import to_queue_error
from kong_eventhooks_plugin.queue.postgresql.group_commit import GroupCommit
from kong_eventhooks_plugin.queue.postgresql.horizon import Horizon
from kong_eventhooks_plugin.queue.postgresql.lane import Hooks, Lane, StoreClock
from kong_eventhooks_plugin.queue.postgresql.nodes import PostgresNodes
from kong_eventhooks_plugin.queue.postgresql.polling import PostgresPolling
from kong_eventhooks_plugin.queue.postgresql.reads import Reader
from kong_eventhooks_plugin.queue.postgresql.schema import migrate
from kong_eventhooks_plugin.queue.postgresql.transaction import Transaction
from kong_eventhooks_plugin.queue.retention import Forgetting
from kong_eventhooks_plugin.queue.rows import encoded, splits
from kong_eventhooks_plugin.queue.waiter import SourceRecipient

T = TypeVar("T")

CLOSING = 5.0
RELEASING = 1.0
REPLAYED_TOGETHER = 500

log = structlog.get_logger()


class PostgresQueue:
    """The durable queue that nodes share. All methods are called on the loop that ``open`` ran on.

    ``clock`` is this node's, in Unix seconds. The store's time is the database's; where ``database_time`` is False, in
    tests, it is ``clock``'s. ``process`` is what takes the leases (``queue.holders``), this one where it is None.
    """

    def __init__(
        self,
        url: str,
        limits: QueueLimits | None = None,
        clock: Clock = time.time,
        *,
        database_time: bool = True,
        process: str | None = None,
    ) -> None:
        self._address = Address(url)
        self._limits = limits or QueueLimits()
        self._node_clock = clock
        self._forgetting = Forgetting(clock)
        self._clock = StoreClock(clock, database=database_time)
        self._taker: Taker | None = None
        self._process = process
        self.nodes = PostgresNodes(self._address, self._clock)
        self.polling = PostgresPolling(self._write, self._reading, self._clock)
        self._listeners: list[Callable[[str], None]] = []
        self._group_commit: GroupCommit | None = None
        self._others: Lane[Any] | None = None
        self._reader: Reader | None = None
        self._writers: tuple[Lane[Any], ...] = ()
        self._in_order: set[str] = set()
        self._horizon = Horizon()
        self._closed = f"{self._address.name}: is not open"

    async def open(self) -> None:
        """Connect and migrate; make leases of processes due again that have exited on this machine."""
        try:
            await self._open()
        except StoreUnavailable as error:
            self._closed = str(error)  # for /readyz: the log may have turned by now
            raise

    async def _open(self) -> None:
        name = self._address.name
        connection = await self._address.connect()
        try:
            await migrate(connection, name)
            await self._clock.read(connection)
        except Exception as error:
            connection.terminate()
            raise to_queue_error(error, name) from error
        except BaseException:
            connection.terminate()
            raise
        offering: Lane[Any] = Lane(
            self._address,
            self._limits,
            self._clock,
            self._committed_late,
            lambda: self._group().store_went_back(),
            process=self._process,
        )
        self._others = Lane(self._address, self._limits, self._clock, connection=connection, process=self._process)
        self._writers = (offering, self._others)
        self._reader = Reader(self._address)
        self._group_commit = GroupCommit(offering, name, self._wake, self._node_clock, self._in_order)
        self._group_commit.taker = self._taker
        self.nodes.open()
        try:
            await self._write(leases.release_of_exited)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Commit what waits, for at most ``CLOSING`` seconds, release leases and close the connections."""
        group_commit, self._group_commit = self._group_commit, None
        if group_commit is not None:
            await group_commit.close(CLOSING)
            await self._release_own_leases()
        reader, self._reader = self._reader, None
        others, self._others = self._others, None
        await self.nodes.close()
        if others is not None:
            await others.close()
        if reader is not None:
            await reader.close()

    def offer(self, offer: Offer, place: SpoolPlace | None = None) -> "asyncio.Future[Receipt]":
        group = self._group()
        if group.waiting >= self._limits.waiting:
            raise QueueFull("buffer", f"{group.waiting} offers wait for the store already")
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        try:
            data, scope = encoded(offer.event)
        except QueueError as error:
            future.set_exception(error)
        else:
            group.offer(Offered(offer, data, scope, future, place))
        return future

    def error(self) -> str | None:
        try:
            return self._group().error()
        except StoreUnavailable as error:
            return str(error)

    async def claim(self, hook_id: str, limit: int, lease_seconds: float) -> list[Delivery]:
        return await self._group().claim(leases.Claim(hook_id, limit, lease_seconds))

    async def claim_first(self, hook_id: str, lease_seconds: float) -> list[Delivery]:
        self._in_order.add(hook_id)
        return await self._group().claim(leases.Claim(hook_id, 1, lease_seconds, in_order=True))

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """End leases: state and attempt together. Raises ``QueueError`` where a new state is ``leased``."""
        if any(settlement.state == "leased" for settlement in settlements):
            raise QueueError("a settlement ends a lease; it cannot make one")
        await self._group().settle(lambda: [self._in_store_time(settlement) for settlement in settlements])

    def settle_soon(self, source: SettlementSource, *, prompt: bool = False) -> None:
        def collect() -> list[Settlement]:
            return [self._in_store_time(settlement) for settlement in source.waiting()]

        self._group().settle_soon(collect, SourceRecipient(source), prompt=prompt)

    def hurry(self) -> None:
        if self._group_commit is not None:
            self._group_commit.hurry()

    def lease_to(self, taker: Taker) -> None:
        self._taker = taker
        if self._group_commit is not None:
            self._group_commit.taker = taker

    async def work(self) -> list[Work]:
        found = await self._read(reads.work)
        return [Work(hook_id=one.hook_id, due_at=self._clock.to_node(one.due_at)) for one in found]

    def on_work(self, wake: Callable[[str], None]) -> None:
        """Have ``wake(hook_id)`` called after this process's commits; another's show only in ``work``."""
        self._listeners.append(wake)

    async def get(self, delivery_id: str) -> Delivery:
        return await self._read(partial(reads.get, delivery=delivery_id))

    async def attempts(self, delivery_id: str) -> list[Attempt]:
        return await self._reading().read(partial(reads.attempts, delivery=delivery_id))

    async def page(self, where: DeliveryFilter, size: int, offset: str | None = None) -> DeliveryPage:
        return await self._read(partial(reads.page, where=where, size=size, offset=offset))

    async def replay(self, delivery_id: str) -> Delivery:
        hook_ids = [hook_id for _, hook_id in splits(delivery_id)]
        return await self._write(partial(leases.replay, delivery=delivery_id), hook_ids)

    async def replay_all(self, where: DeliveryFilter) -> Replayed:
        """Replay every settled delivery that ``where`` names, ``REPLAYED_TOGETHER`` a transaction."""
        found = await self._reading().read(partial(reads.replayable, where=where, size=REPLAYED_AT_ONCE + 1))
        more, found = len(found) > REPLAYED_AT_ONCE, found[:REPLAYED_AT_ONCE]
        total = 0
        for start in range(0, len(found), REPLAYED_TOGETHER):
            some = found[start : start + REPLAYED_TOGETHER]
            hook_ids = list({hook_id for _, hook_id in some})
            count, refused = await self._write(partial(leases.replay_some, deliveries=some), hook_ids)
            total += count
            if refused is not None:
                return Replayed(total, refused, more=True)
        return Replayed(total, more=more)

    async def events(self, where: EventFilter, size: int, offset: str | None = None) -> EventPage:
        settled = await self._horizon.settled(self._reading())
        return await self._read(partial(reads.events, where=where, size=size, offset=offset, settled=settled))

    async def event(self, event_id: str) -> Event:
        return await self._reading().read(partial(reads.event, event_id=event_id))

    async def suppression(self, candidate: Candidate, event: str) -> SuppressionSlot | None:
        return await self._reading().read(partial(reads.suppression, candidate=candidate, event=event))

    async def fail_pending(self, hook_id: str, reason: str) -> int:
        return await self._repeat(partial(retention.fail_some, hook_id=hook_id, reason=reason), [hook_id])

    async def stats(self) -> Stats:
        return await self._read(reads.stats)

    async def sweep(self) -> int:
        if self._clock.was_set_back:
            await self._repeat(retention.make_due)
            self._clock.was_set_back = False
        deleted = sum([await self._repeat(retention.exclusively(step)) for step in retention.STEPS])
        if self._forgetting.is_due():
            self._in_order.difference_update(await self._write(retention.forget_hooks))
        await self._write(retention.fold_writers)
        return deleted

    async def lead(self, holder: str, ttl: float) -> bool:
        return await self._write(partial(small_tables.lead, holder=holder, ttl=ttl))

    async def resign(self, holder: str) -> None:
        await self._write(partial(small_tables.resign, holder=holder))

    async def definitions(self) -> list[Hook]:
        return await self._reading().read(reads.definitions)

    async def store_definitions(self, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
        await self._write(partial(small_tables.store_definitions, hooks=hooks, removed=removed))

    async def endpoints(self) -> list[EndpointHealth]:
        return await self._reading().read(reads.endpoints)

    async def save_endpoint(self, health: EndpointHealth) -> None:
        await self._write(partial(small_tables.save_endpoint, health=health))

    async def spool_position(self, spool: str) -> int:
        """Return how far the store has come with a spool; 0 for one that it does not know."""
        return await self._reading().read(partial(reads.spool_position, spool=spool))

    async def move_spool_position(self, place: SpoolPlace) -> None:
        await self._write(partial(small_tables.move_spool_position, place=place))

    def _group(self) -> GroupCommit:
        if self._group_commit is None:
            raise StoreUnavailable(self._closed)
        return self._group_commit

    def _reading(self) -> Reader:
        if self._reader is None:
            raise StoreUnavailable(self._closed)
        return self._reader

    async def _read(self, read: Callable[[Connection, float], Awaitable[T]]) -> T:
        """Read what depends on the time."""

        async def at_this_time(connection: Connection) -> T:
            return await read(connection, now=await self._clock.read(connection))  # type: ignore[call-arg]

        return await self._reading().read(at_this_time)

    async def _write(self, work: Callable[[Transaction], Awaitable[T]], hook_ids: Sequence[str] = ()) -> T:
        """Run work in a transaction beside the offers', then wake the hooks that have new work."""
        if self._others is None:
            raise StoreUnavailable(self._closed)
        woken: set[str] = set()

        async def run(transaction: Transaction) -> T:
            answer = await work(transaction)
            nonlocal woken
            woken = transaction.woken
            return answer

        answer: T = await self._others.run(run, Hooks(known=hook_ids))
        for hook_id in woken:
            self._wake(hook_id)
        return answer

    async def _repeat(self, step: retention.Step, hook_ids: Sequence[str] = ()) -> int:
        """Run a step, a transaction each time, until it has nothing to do."""
        total = 0
        while done := await self._write(step, hook_ids):
            total += done
        return total

    async def _release_own_leases(self) -> None:
        """Leave what we lease to others; where the store does not answer they find out by themselves."""
        writers = [lane.writer for lane in self._writers if lane.writer is not None]
        with contextlib.suppress(QueueError, TimeoutError):
            async with asyncio.timeout(RELEASING):
                await self._write(partial(leases.release, writers=writers))

    def _in_store_time(self, settlement: Settlement) -> Settlement:
        if settlement.due_at is None:
            return settlement
        return msgspec.structs.replace(settlement, due_at=self._clock.to_store(settlement.due_at))

    def _committed_late(self, batch: Any) -> None:
        if self._group_commit is not None:
            self._group_commit.committed_late(batch)

    def _wake(self, hook_id: str) -> None:
        for wake in self._listeners:
            try:
                wake(hook_id)
            except Exception:
                # A listener's error must not keep the next transaction from starting.
                log.exception("work_listener_failed", hook_id=hook_id)
