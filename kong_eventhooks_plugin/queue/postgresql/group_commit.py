"""Group commit: offers, settlements and claims that wait share the next transaction, and are answered after its commit.

One transaction at a time; while it runs the next one collects. Settlements can wait for one for a while
(``queue.patience``). A transaction is one call (``write``); only offers that have a rule, or are near a limit,
have one of their own, behind it (``accept``). Limits (``queue.limits``), and what happens past them:

- A transaction has at most ``BATCH`` offers of ``BATCH_DELIVERIES``, ``BATCH`` calls that settle, and one claim of each
  hook; the rest goes into the next one.
- Accepting comes first: while more offers wait than one transaction holds, claims and settlements wait, for at most
  ``YIELDS`` transactions; then they have one, and wait again.
- Waiting offers are bounded by ``QueueLimits.waiting`` (the engine counts them), claims and settlements by ``WAITING``:
  one more fails with ``StoreUnavailable``.

Where a value of one operation is refused, the batch is run again, each operation in a transaction of its own: it fails
none of the others. An error of the store fails the operations of this transaction; the next one tries again. A bug in
the cycle itself fails everything that waits, and the next operation begins it anew.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

import structlog

from kong_eventhooks_plugin.errors import EventHooksError, QueueError, StoreUnavailable, StoreWentBack
from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.queue.accepting import Offered, first, first_offers
from kong_eventhooks_plugin.queue.contract import Clock, Receipt, Settlement, Taker
from kong_eventhooks_plugin.queue.hand_over import hand_over
from kong_eventhooks_plugin.queue.limits import BATCH, YIELDS, check_room
from kong_eventhooks_plugin.queue.patience import Patience
from kong_eventhooks_plugin.queue.postgresql.accept import accept
from kong_eventhooks_plugin.queue.postgresql.batch import Batch, Claiming, Settling, releases
from kong_eventhooks_plugin.queue.postgresql.errors import is_bug
from kong_eventhooks_plugin.queue.postgresql.lane import Lane
from kong_eventhooks_plugin.queue.postgresql.leases import Claim, release_forgotten
from kong_eventhooks_plugin.queue.postgresql.taking import Leases
from kong_eventhooks_plugin.queue.postgresql.transaction import NotAlone, Spare, Transaction
from kong_eventhooks_plugin.queue.postgresql.write import Write, is_plain
from kong_eventhooks_plugin.queue.store_status import StoreStatus
from kong_eventhooks_plugin.queue.waiter import Recipient, fail_all
from kong_eventhooks_plugin.telemetry.raised import bug_text

T = TypeVar("T")

log = structlog.get_logger()


class GroupCommit:
    """Turns waiting operations into transactions of its lane. Calls ``wake`` with hooks that have new work.

    One of the hooks ``in_order`` has new work where a delivery of its ends, too: the next one was waiting for that.
    """

    def __init__(
        self,
        lane: Lane[Any],
        name: str,
        wake: Callable[[str], None],
        clock: Clock = time.time,
        in_order: AbstractSet[str] = frozenset(),
    ) -> None:
        self._lane = lane
        self._spare = Spare(lane.limits)
        self._clock = clock
        self._name = name
        self._wake = wake
        self._in_order = in_order
        self._offers: deque[Offered] = deque()
        self._settling: deque[Settling] = deque()
        self._claiming: deque[Claiming] = deque()
        self._patience: Patience[Settling] = Patience(asyncio.get_running_loop(), self.hurry)
        self._yielded = 0
        self._alone = False
        self._ours: dict[str, Receipt] = {}
        self._released: set[str] = set()
        """Deliveries whose release was committed, which its caller does not know and says again."""
        self._held: set[str] = set()
        """The deliveries that callers have leased."""
        self._releasing = False
        self._dropping_answers = False
        self._status = StoreStatus(name, "a transaction has run")
        self._batch = Batch()
        self._task: asyncio.Task[None] | None = None
        self.waiting = 0
        """Offers that are not committed yet."""
        self.taker: Taker | None = None
        """Leases new deliveries as they are accepted."""

    def offer(self, offered: Offered) -> None:
        self.waiting += 1
        self._offers.append(offered)
        self._start()

    def settle(self, collect: Callable[[], Sequence[Settlement]]) -> "asyncio.Future[int]":
        """Settle with the next transaction what ``collect`` returns then."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._submit(self._settling, Settling(collect, future))
        return future

    def settle_soon(
        self, collect: Callable[[], Sequence[Settlement]], recipient: Recipient[int], *, prompt: bool
    ) -> None:
        """Settle with the next transaction, which is begun for it only after a while, or if it is prompt."""
        check_room(self._patience.waiting, self._name)
        self._patience.add(Settling(collect, recipient))
        if prompt:
            self.hurry()

    def hurry(self) -> None:
        """Begin the transaction that ``settle_soon`` waits for."""
        self._settling.extend(self._patience.take())
        if self._settling:
            self._start()

    def claim(self, wanted: Claim) -> "asyncio.Future[list[Delivery]]":
        future: asyncio.Future[list[Delivery]] = asyncio.get_running_loop().create_future()
        self._submit(self._claiming, Claiming(wanted, future))
        return future

    def error(self) -> str | None:
        """Return why nothing can be written now, as far as is known without a write."""
        return self._status.error()

    def committed_late(self, batch: Any) -> None:
        """Remember the receipts of a transaction whose callers had given up, and release what it leased for them."""
        if not isinstance(batch, Batch):
            return
        self._ours.clear()  # in place: a call that is about to be made has it
        receipts = (one.answer for one in batch.offers if one.answer is not None)
        self._ours.update((receipt.event_id, receipt) for receipt in receipts if not receipt.duplicate)
        self._released = set(releases(batch.settlements))
        released = [Settlement(delivery.id, "pending", None) for delivery in batch.leased()]
        if released:
            self.settle(lambda: released).add_done_callback(asyncio.Future.exception)  # else the leases run out

    def store_went_back(self) -> None:
        """Make leases due again whose end the store has lost, with the next transaction."""
        self._releasing = True

    async def close(self, seconds: float) -> None:
        """Commit what waits, for so many seconds at most; what is left fails with ``StoreUnavailable``."""
        self.hurry()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)
            if not self._task.done():
                log.error("store_close_incomplete", file=self._name, offers=self.waiting)
                self._fail_waiting(StoreUnavailable(f"{self._name}: closed before this was known to be written"))
                self._task.cancel()
                await asyncio.wait([self._task])
        await self._lane.close()

    def _submit(self, queue: deque[T], operation: T) -> None:
        check_room(queue, self._name)
        queue.append(operation)
        self._start()

    def _start(self) -> None:
        """Begin to commit in the loop's next iteration: the transaction has all that this iteration offers."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._commit_all(), name="store-group-commit")

    async def _commit_all(self) -> None:
        while self._offers or self._settling or self._claiming:
            try:
                await self._commit_next()
            except Exception as bug:  # noqa: BLE001  # an error that escaped would end all further commits
                self._recover(bug)

    async def _commit_next(self) -> None:
        self._batch = self._take()
        for one in self._batch.settling:
            one.take(self._released)
        await self._commit(self._batch)
        self._batch = Batch()
        if self._releasing:
            await self._release_forgotten()

    def _recover(self, bug: Exception) -> None:
        """Fail everything that waits, as a bug may have lost any of it."""
        error = StoreUnavailable(f"{self._name}: {bug_text(bug)}")
        self._status.failed(str(error), bug)
        self.waiting = 0
        self._fail_waiting(error)

    def _fail_waiting(self, error: EventHooksError) -> None:
        fail_all(error, self._batch.waiters(), self._settling, self._claiming, self._offers)

    async def _release_forgotten(self) -> None:
        """Where that fails it is tried again with the next transaction; in the end the leases run out."""

        async def run(transaction: Transaction) -> set[str]:
            await release_forgotten(transaction, list(self._held))
            return transaction.woken

        with contextlib.suppress(QueueError):
            woken = await self._lane.run(run)
            self._releasing = False
            for hook_id in woken:
                self._wake(hook_id)

    def _take(self) -> Batch:
        if len(self._offers) > BATCH and (self._settling or self._claiming) and self._yielded < YIELDS:
            self._yielded += 1
            return Batch(first_offers(self._offers))
        self._yielded = 0
        self._settling.extend(self._patience.take())
        return Batch(first_offers(self._offers), first(self._settling), self._one_claim_of_each())

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
        in_steps = bool(batch.offers) and (self._alone or not is_plain(batch.offers))
        if in_steps and (rest := Batch(settling=batch.settling, claiming=batch.claiming)):
            await self._commit(rest)
            batch = Batch(batch.offers)
        self._status.began_at = time.monotonic()
        try:
            await (self._accepted(batch) if in_steps else self._written(batch))
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
        finally:
            self._status.began_at = None

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

    async def _accepted(self, batch: Batch) -> None:
        """Accept offers in a transaction of several steps."""

        async def run(transaction: Transaction) -> Batch:
            began_at, leases = self._clock(), Leases(self.taker)
            await self._accept(transaction, batch.offers, leases)
            batch.woken, batch.taken = transaction.woken, {}
            leases.taken(began_at, transaction.now, batch.taken)
            return batch

        await self._lane.run(run, batch.hooks())
        self._committed(batch)

    async def _written(self, batch: Batch) -> None:
        call = Write(batch, self._spare, self._clock, self.taker, self._ours, self._in_order)
        if await self._lane.call(call, batch.hooks()) is None:
            self._alone = True
            await self._commit(batch)
        else:
            self._committed(batch)

    def _committed(self, batch: Batch) -> None:
        if self._status.failing is not None:
            self._status.recovered()
        self._held.difference_update(one.delivery_id for one in batch.settlements)
        if self._released:
            said = (releases(one.settlements) | one.released for one in batch.settling)
            self._released.difference_update(*said)
        self._held.update(delivery.id for delivery in batch.leased())
        if batch.settling:
            self._report_dropped(batch.answers_dropped)
        for one in batch.offers:
            self._ours.pop(one.offer.event.id, None)
        self._end(batch, None)

    async def _accept(self, transaction: Transaction, offers: Sequence[Offered], leases: Leases) -> None:
        try:
            await accept(transaction, offers, self._ours, leases, alone=self._alone)
        except NotAlone:
            self._alone = True
            raise
        self._alone = transaction.is_near_limits

    def _report_dropped(self, dropped: bool) -> None:
        if dropped and not self._dropping_answers:
            log.warning("response_bodies_dropped", limit_bytes=self._lane.limits.answer_bytes)
        self._dropping_answers = dropped

    def _fail(self, batch: Batch, error: StoreUnavailable) -> None:
        cause = error.__cause__
        self._status.failed(str(error), cause if cause is not None and is_bug(cause) else None)
        self._end(batch, error)

    def _end(self, batch: Batch, error: EventHooksError | None) -> None:
        """Answer every caller, after the commit."""
        self.waiting -= len(batch.offers)
        for waiting in batch.waiters():
            waiting.error = error
            waiting.resolve()
        if error is None:
            hand_over(self.taker, batch.taken)
            for hook_id in batch.woken:
                self._wake(hook_id)
