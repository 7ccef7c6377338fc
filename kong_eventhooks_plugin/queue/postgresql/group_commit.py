"""Group commit: offers, settlements and claims that wait share the next transaction, and are answered after its commit.

One transaction at a time; while it runs the next one collects. Limits (``queue.limits``), and what happens past them:

- A transaction has at most ``BATCH`` offers, ``BATCH`` calls that settle, and one claim of each hook; the rest goes
  into the next one.
- Accepting comes first: while more offers wait than one transaction holds, claims and settlements wait, for at most
  ``YIELDS`` transactions; then they have one, and wait again.
- Waiting offers are bounded by ``QueueLimits.waiting`` (the engine counts them), claims and settlements by ``WAITING``:
  one more fails with ``StoreUnavailable``.

Where a value of one operation is refused, the batch is run again, each operation in a transaction of its own: it fails
none of the others. An error of the store fails the operations of this transaction; the next one tries again.

``error`` reports a transaction that has run for ``STALLED_SECONDS``, and an error of the store until a transaction has
been committed, or for ``FAILING_SECONDS``.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

import structlog

from kong_eventhooks_plugin.errors import EventHooksError, QueueError, StoreUnavailable, StoreWentBack
from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.queue.accepting import Offered
from kong_eventhooks_plugin.queue.contract import Receipt, Settlement
from kong_eventhooks_plugin.queue.limits import BATCH, FAILING_SECONDS, STALLED_SECONDS, WAITING, YIELDS
from kong_eventhooks_plugin.queue.postgresql.accept import accept
from kong_eventhooks_plugin.queue.postgresql.lane import Hooks, Lane
from kong_eventhooks_plugin.queue.postgresql.leases import Claim, claim, release_forgotten
from kong_eventhooks_plugin.queue.postgresql.settling import settle
from kong_eventhooks_plugin.queue.postgresql.transaction import NotAlone, Transaction
from kong_eventhooks_plugin.queue.rows import splits
from kong_eventhooks_plugin.queue.waiter import Waiter

T = TypeVar("T")

log = structlog.get_logger()


class Settling(Waiter[None]):
    __slots__ = ("settlements",)

    def __init__(self, settlements: Sequence[Settlement], future: "asyncio.Future[None]") -> None:
        super().__init__(future)
        self.settlements = settlements


class Claiming(Waiter[list[Delivery]]):
    __slots__ = ("claim",)

    def __init__(self, wanted: Claim, future: "asyncio.Future[list[Delivery]]") -> None:
        super().__init__(future)
        self.claim = wanted


class Batch:
    """One transaction's operations."""

    def __init__(
        self,
        offers: Sequence[Offered] = (),
        settling: Sequence[Settling] = (),
        claiming: Sequence[Claiming] = (),
    ) -> None:
        self.offers = offers
        self.settling = settling
        self.claiming = claiming
        self.woken: set[str] = set()
        self.answers_dropped = False

    def __bool__(self) -> bool:
        return bool(self.offers or self.settling or self.claiming)

    def hooks(self) -> Hooks:
        offered = dict.fromkeys(candidate.hook_id for one in self.offers for candidate in one.offer.candidates)
        pairs = (pair for one in self.settling for each in one.settlements for pair in splits(each.delivery_id))
        return Hooks(offered, {hook_id for _, hook_id in pairs} | {one.claim.hook_id for one in self.claiming})

    def waiters(self) -> Iterator[Waiter[Any]]:
        yield from self.settling
        yield from self.claiming
        yield from self.offers

    def apart(self) -> "Iterator[Batch]":
        """Yield each operation as a batch of its own."""
        yield from (Batch(settling=[one]) for one in self.settling)
        yield from (Batch(claiming=[one]) for one in self.claiming)
        yield from (Batch(offers=[one]) for one in self.offers)

    def size(self) -> int:
        return len(self.offers) + len(self.settling) + len(self.claiming)


class GroupCommit:
    """Turns waiting operations into transactions of its lane. Calls ``wake`` with hooks that have new work.

    One of the hooks ``in_order`` has new work where a delivery of its ends, too: the next one was waiting for that.
    """

    def __init__(
        self, lane: Lane[Any], name: str, wake: Callable[[str], None], in_order: AbstractSet[str] = frozenset()
    ) -> None:
        self._lane = lane
        self._name = name
        self._wake = wake
        self._in_order = in_order
        self._offers: deque[Offered] = deque()
        self._settling: deque[Settling] = deque()
        self._claiming: deque[Claiming] = deque()
        self._yielded = 0
        self._alone = False
        self._ours: dict[str, Receipt] = {}
        self._held: set[str] = set()
        """The deliveries that callers have leased."""
        self._releasing = False
        self._dropping_answers = False
        self._failing: str | None = None
        self._failed_at = 0.0
        self._began_at: float | None = None
        self._batch = Batch()
        self._task: asyncio.Task[None] | None = None
        self.waiting = 0
        """Offers that are not committed yet."""

    def offer(self, offered: Offered) -> None:
        self.waiting += 1
        self._offers.append(offered)
        self._start()

    def settle(self, settlements: Sequence[Settlement]) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submit(self._settling, Settling(settlements, future))
        return future

    def claim(self, wanted: Claim) -> "asyncio.Future[list[Delivery]]":
        future: asyncio.Future[list[Delivery]] = asyncio.get_running_loop().create_future()
        self._submit(self._claiming, Claiming(wanted, future))
        return future

    def error(self) -> str | None:
        """Return why nothing can be written now, as far as is known without a write."""
        now = time.monotonic()
        if self._began_at is not None and now - self._began_at >= STALLED_SECONDS:
            return f"{self._name}: a transaction has run for {now - self._began_at:.0f} s"
        return self._failing if now - self._failed_at < FAILING_SECONDS else None

    def committed_late(self, batch: Any) -> None:
        """Remember the receipts of a transaction whose callers had given up, and release what it leased for them."""
        if not isinstance(batch, Batch):
            return
        self._ours = {one.answer.event_id: one.answer for one in batch.offers if one.answer is not None}
        leased = [delivery for one in batch.claiming for delivery in one.answer or ()]
        if leased:
            released = self.settle([Settlement(delivery.id, "pending", None) for delivery in leased])
            released.add_done_callback(asyncio.Future.exception)  # where it fails, the leases run out

    def store_went_back(self) -> None:
        """Make leases due again whose end the store has lost, with the next transaction."""
        self._releasing = True

    async def close(self, seconds: float) -> None:
        """Commit what waits, for so many seconds at most; what is left fails with ``StoreUnavailable``."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)
            if not self._task.done():
                log.error("store_close_incomplete", file=self._name, offers=self.waiting)
                error = StoreUnavailable(f"{self._name}: closed before this was known to be written")
                for waiting in (*self._batch.waiters(), *self._settling, *self._claiming, *self._offers):
                    waiting.fail(error)
                self._task.cancel()
                await asyncio.wait([self._task])
        await self._lane.close()

    def _submit(self, queue: deque[T], operation: T) -> None:
        if len(queue) >= WAITING:
            raise StoreUnavailable(f"{self._name}: {WAITING} operations wait already")
        queue.append(operation)
        self._start()

    def _start(self) -> None:
        """Begin to commit in the loop's next iteration: the transaction has all that this iteration offers."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._commit_all(), name="store-group-commit")

    async def _commit_all(self) -> None:
        while self._offers or self._settling or self._claiming:
            self._batch = self._take()
            await self._commit(self._batch)
            self._batch = Batch()

    def _take(self) -> Batch:
        if len(self._offers) > BATCH and (self._settling or self._claiming) and self._yielded < YIELDS:
            self._yielded += 1
            return Batch(_first(self._offers))
        self._yielded = 0
        return Batch(_first(self._offers), _first(self._settling), self._one_claim_of_each())

    def _one_claim_of_each(self) -> list[Claiming]:
        taken: dict[str, Claiming] = {}
        later: deque[Claiming] = deque()
        for one in self._claiming:
            if one.claim.hook_id in taken:
                later.append(one)
            else:
                taken[one.claim.hook_id] = one
        self._claiming = later
        return list(taken.values())

    async def _commit(self, batch: Batch) -> None:
        self._began_at = time.monotonic()
        try:
            await self._committed(batch)
        except StoreUnavailable as error:
            self._fail(batch, error)
        except StoreWentBack as error:
            self._end(Batch(batch.offers), error)
            if rest := Batch(settling=batch.settling, claiming=batch.claiming):
                await self._commit(rest)
        except QueueError as error:
            if batch.size() == 1:
                self._end(batch, error)
            else:
                await self._commit_apart(batch)
        except Exception as error:  # whatever it is, it must not keep the next transaction from starting
            log.exception("store_unavailable", file=self._name)
            self._end(batch, QueueError(f"{self._name}: {type(error).__name__}: {error}"))
        finally:
            self._began_at = None

    async def _commit_apart(self, batch: Batch) -> None:
        """Offers keep their order: after one that the store failed, the others fail too."""
        unavailable: EventHooksError | None = None
        for one in batch.apart():
            if one.offers and unavailable is not None:
                self._end(one, unavailable)
                continue
            await self._commit(one)
            if one.offers and isinstance(one.offers[0].error, StoreUnavailable):
                unavailable = one.offers[0].error

    async def _committed(self, batch: Batch) -> None:
        async def run(transaction: Transaction) -> Batch:
            if self._releasing:
                await release_forgotten(transaction, list(self._held))
            if batch.settling:
                settlements = [one for each in batch.settling for one in each.settlements]
                transaction.woken |= await settle(transaction, settlements) & self._in_order
            if batch.claiming:
                answers = await claim(transaction, [one.claim for one in batch.claiming])
                for one, answer in zip(batch.claiming, answers, strict=True):
                    one.answer = answer
            if batch.offers:
                await self._accept(transaction, batch.offers)
            batch.woken, batch.answers_dropped = transaction.woken, transaction.answers_dropped
            return batch

        await self._lane.run(run, batch.hooks())
        if self._failing is not None:
            self._failing = None
            log.info("store_recovered", file=self._name)
        self._note_held(batch)
        if batch.settling:
            self._report_dropped(batch.answers_dropped)
        for one in batch.offers:
            self._ours.pop(one.offer.event.id, None)
        self._end(batch, None)

    async def _accept(self, transaction: Transaction, offers: Sequence[Offered]) -> None:
        try:
            await accept(transaction, offers, self._ours, alone=self._alone)
        except NotAlone:
            self._alone = True
            raise
        self._alone = transaction.is_near_limits

    def _note_held(self, batch: Batch) -> None:
        self._releasing = False
        self._held.update(delivery.id for one in batch.claiming for delivery in one.answer or ())
        self._held.difference_update(one.delivery_id for each in batch.settling for one in each.settlements)

    def _report_dropped(self, dropped: bool) -> None:
        if dropped and not self._dropping_answers:
            log.warning("response_bodies_dropped", limit_bytes=self._lane.limits.answer_bytes)
        self._dropping_answers = dropped

    def _fail(self, batch: Batch, error: StoreUnavailable) -> None:
        if self._failing is None:
            log.error("store_unavailable", file=self._name, error=str(error))
        self._failing, self._failed_at = str(error), time.monotonic()
        self._end(batch, error)

    def _end(self, batch: Batch, error: EventHooksError | None) -> None:
        """Answer every caller, after the commit."""
        self.waiting -= len(batch.offers)
        for waiting in batch.waiters():
            waiting.error = error
            waiting.resolve()
        if error is None:
            for hook_id in batch.woken:
                self._wake(hook_id)


def _first(queue: "deque[T]") -> list[T]:
    return [queue.popleft() for _ in range(min(len(queue), BATCH))]
