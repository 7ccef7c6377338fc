"""What one transaction knows of the store, and what it has counted: written before its COMMIT.

Limits are exact for all nodes together. ``SPARE`` of each limit is kept for what other nodes accept in transactions
that are not committed yet, and each may use the ``NODES``-th part of it: below, nodes accept side by side, each under
a shared lock. A transaction that finds more there, or wants more, raises ``NotAlone`` and begins again under the
exclusive lock, where it sees everything that was accepted. Past ``NODES`` nodes the limits are exact to within what the
rest accepts at one moment.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from kong_eventhooks_plugin.model.suppression import SuppressionSlot
from kong_eventhooks_plugin.queue.accepting import Key
from kong_eventhooks_plugin.queue.contract import HeldBack, QueueLimits
from kong_eventhooks_plugin.queue.hook_counters import HookCounters
from kong_eventhooks_plugin.queue.limits import refusal
from kong_eventhooks_plugin.queue.postgresql.connection import Connection
from kong_eventhooks_plugin.queue.postgresql.schema import ACCEPTING, LOCKS
from kong_eventhooks_plugin.queue.postgresql.statements import SQL

SPARE: Final = 1 / 4
NODES: Final = 64
REMEMBERED: Final = 10_000


class BeginAgain(Exception):
    """The transaction is rolled back and run again: what it read is not true any more."""


class NotAlone(BeginAgain):
    """A limit is near: only one node may accept at a time."""


class LimitsNear(Exception):
    """A call has changed nothing, because a limit is near; what it offered has to be accepted in a transaction."""


class Totals(msgspec.Struct):
    """Settled deliveries by state, events without a delivery, bytes of answers' bodies: what a transaction adds."""

    delivered: int = 0
    dead: int = 0
    idle: int = 0
    answer_bytes: int = 0

    def settle(self, state: str, count: int) -> None:
        if state == "delivered":
            self.delivered += count
        else:
            self.dead += count


class SlotStates:
    """The slots of on_change and snooze that a transaction has locked."""

    def __init__(self) -> None:
        self._states: dict[Key, SuppressionSlot] = {}
        self._made: set[Key] = set()
        self.written: dict[Key, SuppressionSlot] = {}

    def load(self, wanted: Sequence[Key], rows: Sequence[Sequence[Any]]) -> None:
        for row in rows:
            self._states[row[0], row[1], row[2], row[3]] = SuppressionSlot(*row[4:])
        self._made = set(wanted) - self._states.keys()

    def unused(self) -> list[Key]:
        """Return the slots that were made to be locked and have not fired."""
        return [key for key in self._made if key not in self.written]

    def get(self, key: Key) -> SuppressionSlot | None:
        return self._states.get(key)

    def hold(self, key: Key, now: float) -> None:
        state = self._states.get(key)
        if state is not None:
            self._states[key] = self.written[key] = state.hold(now)

    def put(self, hook: HookCounters, key: Key, state: SuppressionSlot, *, new: bool) -> None:
        self._states[key] = self.written[key] = state
        hook.states += new


class _Shift(msgspec.Struct):
    deliveries: int = 0
    bytes: int = 0
    states: int = 0


class HookNumbers:
    """The numbers of hooks and back, as far as a connection has learnt them. A number never changes.

    Past ``REMEMBERED`` of them the connection begins anew.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._ids: dict[int, str] = {}

    def __contains__(self, hook_id: str) -> bool:
        return hook_id in self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def learn(self, rows: Sequence[Sequence[Any]]) -> None:
        for hook_id, number in rows:
            self._numbers[hook_id] = number
            self._ids[number] = hook_id

    def number(self, hook_id: str) -> int | None:
        """Return a hook's number, None where it is not known to have one."""
        return self._numbers.get(hook_id)

    def hook(self, number: int) -> str:
        return self._ids[number]


class Transaction:
    """Every operation gets it: the connection, the time, the limits, and the counters."""

    def __init__(
        self, connection: Connection, limits: QueueLimits, writer: int, now: float, hooks: HookNumbers
    ) -> None:
        self.connection = connection
        self.limits = limits
        self.writer = writer
        """What marks the leases that it takes."""
        self.now = now
        self.added = Totals()
        self.woken: set[str] = set()
        """Hooks of which this transaction made a delivery pending."""
        self.suppression = SlotStates()
        self.alone = False
        self.hooks = hooks
        self.answers_dropped = False
        """The body of an answer found no room."""
        self._by_id: dict[str, HookCounters] = {}
        self._before = HookCounters("", 0)
        self._before_of: dict[int, HookCounters] = {}
        self._shifts: dict[int, _Shift] = {}
        self._all = _Shift()
        self._numbers: Iterator[int] = iter(())

    async def lock_accepting(self, *, alone: bool) -> None:
        """Take part in accepting, ``alone`` or beside other nodes, until the transaction ends."""
        self.alone = alone
        await self.connection.fetchval(SQL.lock_alone if alone else SQL.lock_shared, LOCKS, ACCEPTING)

    async def count(self, hook_ids: Sequence[str]) -> None:
        """Read what these hooks hold, and all together; after ``lock_accepting``."""
        by_number = {number: hook_id for hook_id in hook_ids if (number := self.hooks.number(hook_id)) is not None}
        for number, deliveries, size, states in await self.connection.fetch(SQL.counted, list(by_number)):
            if number is None:
                self._before = HookCounters("", 0, deliveries, size)
            else:
                hook_id = by_number[number]
                self._by_id[hook_id] = HookCounters(hook_id, number, deliveries, size, states)
                self._before_of[number] = HookCounters(hook_id, number, deliveries, size, states)
        for number, hook_id in by_number.items():
            if hook_id not in self._by_id:
                self._by_id[hook_id], self._before_of[number] = (HookCounters(hook_id, number) for _ in range(2))

    async def number_events(self, count: int) -> None:
        self._numbers = iter([row[0] for row in await self.connection.fetch(SQL.numbers, count)])

    def next_event(self) -> int:
        return next(self._numbers)

    def of_hook(self, hook_id: str) -> HookCounters:
        return self._by_id[hook_id]

    def refusal(self, hook: HookCounters, size: int) -> HeldBack | None:
        """Return the limit that another unsettled delivery of ``size`` bytes would break. Raises ``NotAlone``."""
        if not self.alone and self._is_near(hook, size):
            raise NotAlone
        deliveries = self._before.deliveries + self._all.deliveries
        return refusal(self.limits, hook.deliveries, deliveries, self._before.bytes + self._all.bytes, size)

    def add(self, hook: HookCounters, size: int) -> None:
        self.hold(hook, size)
        self.woken.add(hook.hook_id)

    def hold(self, hook: HookCounters, size: int) -> None:
        """Count a delivery that became unsettled and is leased already."""
        hook.deliveries += 1
        hook.bytes += size
        self.shift(hook.n, 1, size)

    def add_idle(self) -> None:
        self.added.idle += 1

    def shift(self, hook: int, deliveries: int, size: int, states: int = 0) -> None:
        """Change what a hook holds by so many unsettled deliveries, bytes and states."""
        for one in (self._shifts.setdefault(hook, _Shift()), self._all):
            one.deliveries += deliveries
            one.bytes += size
            one.states += states

    def hooks_with_new_slots(self) -> Iterator[tuple[HookCounters, int]]:
        """Yield each with how many slots it had."""
        for hook in self._by_id.values():
            before = self._before_of[hook.n].states
            if hook.states != before:
                yield hook, before

    async def flush(self, number: int, opened_at: float) -> None:
        """Write what was counted, and the transaction's number. Raises ``WriterGone``.

        ``opened_at`` is when the writer's row was made.
        """
        shifts = [(hook, *astuple(shift)) for hook, shift in sorted(self._shifts.items()) if any(astuple(shift))]
        if shifts:
            await self.connection.fetch(SQL.add_counts, self.writer, *columns(shifts))
        values = (self.writer, number, self.now, *astuple(self.added), opened_at)
        if await self.connection.fetchval(SQL.end_transaction, *values) is None:
            raise WriterGone

    @property
    def is_near_limits(self) -> bool:
        """Whether a limit is so near that the next transaction had better be alone as well."""
        return any(self._is_near(hook, 0) for hook in self._by_id.values())

    def _is_near(self, hook: HookCounters, size: int) -> bool:
        limits = self.limits
        of_hook = self._before_of[hook.n].deliveries
        return (
            _near(of_hook, hook.deliveries + 1 - of_hook, limits.deliveries_per_hook)
            or _near(self._before.deliveries, self._all.deliveries + 1, limits.deliveries)
            or _near(self._before.bytes, self._all.bytes + size, limits.bytes)
        )


class WriterGone(BeginAgain):
    """The writer's row was folded into another's, or a store that went back does not have it."""


class Spare:
    """What offers may add, and what may be there before them, far from every limit."""

    def __init__(self, limits: QueueLimits) -> None:
        self.limits = limits
        self.most = tuple(
            int(limit - limit * SPARE) for limit in (limits.deliveries, limits.deliveries_per_hook, limits.bytes)
        )
        """Deliveries in all and of one hook, and bytes in all."""

    def check(self, fired: Sequence[Sequence[Any]]) -> None:
        """Raise ``LimitsNear`` for more than a node's share of new deliveries: rows of event, hook, source, bytes."""
        limits = self.limits
        of_hook = Counter(row[1] for row in fired)
        added = (
            (len(fired), limits.deliveries),
            (max(of_hook.values(), default=0), limits.deliveries_per_hook),
            (sum(row[3] for row in fired), limits.bytes),
        )
        if any(count > limit * SPARE / NODES for count, limit in added):
            raise LimitsNear


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return rows as the arrays that ``unnest`` takes."""
    return [list(column) for column in zip(*rows, strict=True)]


def _near(before: int, added: int, limit: int) -> bool:
    spare = limit * SPARE
    return before > limit - spare or added > spare / NODES
