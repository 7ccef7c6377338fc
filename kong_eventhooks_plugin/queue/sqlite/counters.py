"""What the writer counts of the file: hooks by number, how much each holds, totals.

The counts are in the file and change in the transaction that changes what they count, so they are exact for
every process on it. Between transactions they stay in memory, so that a limit costs a comparison. After another
process's commit (``PRAGMA data_version`` shows it) and after a rollback they are read again.

Bounded by the number of hooks that retention has not forgotten (``queue.retention``). Of ``LEASES`` deliveries that we
hold it is kept where they are; past that, after a rollback and after another process's commit a settlement looks its
delivery up.
"""

import sqlite3
from collections import deque

import msgspec
from msgspec.structs import astuple

from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.queue.contract import HeldBack, QueueLimits
from kong_eventhooks_plugin.queue.hook_counters import HookCounters
from kong_eventhooks_plugin.queue.limits import refusal
from kong_eventhooks_plugin.queue.sqlite.statements import SQL
from kong_eventhooks_plugin.queue.sqlite.suppression import SuppressionState

LEASES = 4_096


class Totals(msgspec.Struct):
    """The row of ``totals``: settled deliveries by state, events without a delivery, bytes of answers' bodies."""

    delivered: int = 0
    dead: int = 0
    idle: int = 0
    answer_bytes: int = 0


class Lease(msgspec.Struct, frozen=True):
    """A delivery that we hold: its event's number, its hook, its attempts before, its bytes."""

    event: int
    hook: HookCounters
    attempts: int
    size: int


class Counters:
    """Every operation of a transaction gets them, with the connection and the time."""

    def __init__(self, connection: sqlite3.Connection, limits: QueueLimits, owner: int) -> None:
        self.connection = connection
        self.cursor = connection.cursor()
        """Runs every statement: a cursor for each would cost 1,350 instructions."""
        self.limits = limits
        self.owner = owner
        """What marks the leases that this opening of the store holds."""
        self.now = 0.0
        """The transaction's time."""
        self.totals = Totals()
        self.suppression = SuppressionState(self.cursor, limits.suppression_states)
        self.woken: set[str] = set()
        """Hooks of which this transaction made a delivery pending."""
        self.taken: dict[str, tuple[float, list[Delivery]]] = {}
        """Hook id -> what this transaction leased to the delivering side as it accepted it, and until when."""
        self.dropping_answers = False
        """The last answer's body found no room."""
        self.in_order: dict[int, deque[int]] = {}
        """Hooks that ``leases.claim_first`` was called for -> the first events of their unsettled deliveries."""
        self.clock_was_set_back = True
        """Since ``retention.make_due`` last ran; True at first, as it may have happened before."""
        self._leases: dict[str, Lease] = {}
        self._seen_version: int | None = None
        self._by_hook: dict[str, HookCounters] = {}
        self._changed: dict[int, HookCounters] = {}
        self._hooks_as_read: dict[int, tuple[int, int, int, int]] = {}
        self._totals_as_read = astuple(self.totals)
        self._last_event = 0
        self._deliveries = 0
        self._bytes = 0

    def begin(self, now: float) -> None:
        self.clock_was_set_back |= now < self.now
        self.now = now
        (version,) = self.cursor.execute("PRAGMA data_version").fetchone()
        if version != self._seen_version:
            self._read()
            self._seen_version = version

    def flush(self) -> None:
        """Write what changed, before the transaction's COMMIT."""
        self.suppression.flush(self._changed)
        if self._changed:
            # At a usual rate one delivery comes as another one of its size ends.
            rows = [row for row in map(_row, self._changed.values()) if row != self._hooks_as_read.get(row[-1])]
            if rows:
                self.cursor.executemany(SQL.write_hook, rows)
                self._hooks_as_read.update((row[-1], row) for row in rows)
            self._changed.clear()
        totals = astuple(self.totals)
        if totals != self._totals_as_read:
            self.cursor.execute(SQL.write_totals, totals)
            self._totals_as_read = totals

    def forget(self) -> None:
        """Drop everything, after a rollback; the next ``begin`` reads it again."""
        self._seen_version = None
        self._changed.clear()
        self._forget_order()
        self.woken.clear()
        self.taken.clear()

    def remember_lease(self, delivery: str, lease: Lease) -> None:
        """Keep what a settlement needs; whether the lease is still ours the row says."""
        if len(self._leases) >= LEASES:
            self._leases.clear()
        self._leases[delivery] = lease

    def take_lease(self, delivery: str) -> Lease | None:
        return self._leases.pop(delivery, None)

    def take_leased(self) -> dict[str, tuple[float, list[Delivery]]]:
        """Return what to hand over after the commit."""
        taken, self.taken = self.taken, {}
        return taken

    def take_woken(self) -> set[str]:
        """Return the hooks to wake after the commit."""
        woken, self.woken = self.woken, set()
        return woken

    def next_event(self) -> int:
        self._last_event += 1
        return self._last_event

    def known(self, hook_id: str) -> HookCounters | None:
        """Return a hook's counters, None where it never had any."""
        return self._by_hook.get(hook_id)

    def of_hook(self, hook_id: str) -> HookCounters:
        """Return a hook's counters, new ones where it has none."""
        hook = self._by_hook.get(hook_id)
        if hook is None:
            n = self.cursor.execute(SQL.add_hook, (hook_id,)).lastrowid
            assert n is not None  # noqa: S101  # an INSERT has one; this tells the type checker
            hook = self._by_hook[hook_id] = HookCounters(hook_id, n)
        return hook

    def all_hooks(self) -> list[HookCounters]:
        return list(self._by_hook.values())

    def refusal(self, hook: HookCounters, size: int) -> HeldBack | None:
        """Return the limit that another unsettled delivery of ``size`` bytes would break."""
        return refusal(self.limits, hook.deliveries, self._deliveries, self._bytes, size)

    def add_idle(self) -> None:
        """Count an event without a delivery."""
        self.totals.idle += 1

    def add(self, hook: HookCounters, size: int) -> None:
        """Count a delivery that became unsettled, and wake its hook after the commit."""
        self.shift(hook, 1, size)
        self.woken.add(hook.hook_id)

    def shift(self, hook: HookCounters, deliveries: int, size: int) -> None:
        """Change what a hook holds by so many unsettled deliveries and bytes."""
        hook.deliveries += deliveries
        hook.bytes += size
        self._deliveries += deliveries
        self._bytes += size
        self._changed[hook.n] = hook

    def settle(self, state: str, count: int) -> None:
        if state == "delivered":
            self.totals.delivered += count
        else:
            self.totals.dead += count

    def _forget_order(self) -> None:
        for events in self.in_order.values():
            events.clear()

    def _read(self) -> None:
        self._forget_order()
        self._leases.clear()
        rows = self.cursor.execute(SQL.all_hooks).fetchall()
        self._by_hook = {row[0]: HookCounters(*row) for row in rows}
        self._hooks_as_read = {hook.n: _row(hook) for hook in self._by_hook.values()}
        self._deliveries = sum(row[2] for row in rows)
        self._bytes = sum(row[3] for row in rows)
        self.totals = Totals(*self.cursor.execute(SQL.read_totals).fetchone())
        self._totals_as_read = astuple(self.totals)
        self.suppression.forget()
        (self._last_event,) = self.cursor.execute(SQL.last_event).fetchone()


def _row(hook: HookCounters) -> tuple[int, int, int, int]:
    return hook.deliveries, hook.bytes, hook.states, hook.n
