"""What the writer counts of the file: hooks by number, how much each holds, totals.

The counts stand in the file and change in the transaction that changes what they count, so they are exact for
every process on it. Between transactions they are kept here, so that a limit costs a comparison; another
process's commit shows in ``PRAGMA data_version``, and then, as after a rollback, they are read again.

Bounded by the number of hooks that ever had a delivery or were held back.
"""

import sqlite3

from kong_eventhooks_plugin.queue.contract import Candidate, HeldBack, QueueLimits
from kong_eventhooks_plugin.queue.limits import refusal
from kong_eventhooks_plugin.queue.sqlite.statements import SQL
from kong_eventhooks_plugin.queue.sqlite.suppression import SuppressionState

_ALL_HOOKS = SQL["all_hooks"]
_ADD_HOOK = SQL["add_hook"]
_WRITE_HOOK = SQL["write_hook"]
_LAST_EVENT = SQL["last_event"]
_READ_TOTALS = SQL["read_totals"]
_WRITE_TOTALS = SQL["write_totals"]
_COUNT_SUPPRESSED = SQL["count_suppressed"]


class HookCounters:
    """A hook's number and what it holds: unsettled deliveries, their bytes, its filter's states."""

    __slots__ = ("bytes", "deliveries", "hook_id", "n", "states")

    def __init__(self, hook_id: str, n: int, deliveries: int, size: int, states: int) -> None:
        self.hook_id = hook_id
        self.n = n
        self.deliveries = deliveries
        self.bytes = size
        self.states = states


class Totals:
    """The row of ``totals``: settled deliveries by state, events that none needs, bytes of answers' bodies."""

    __slots__ = ("answer_bytes", "dead", "delivered", "idle")

    def __init__(self, delivered: int, dead: int, idle: int, answer_bytes: int) -> None:
        self.delivered = delivered
        self.dead = dead
        self.idle = idle
        self.answer_bytes = answer_bytes

    def row(self) -> tuple[int, int, int, int]:
        """Return the row."""
        return self.delivered, self.dead, self.idle, self.answer_bytes


class Counters:
    """The writer's books. Every operation of a transaction gets them, with the connection and the time."""

    def __init__(self, connection: sqlite3.Connection, limits: QueueLimits, owner: int) -> None:
        self.connection = connection
        self.limits = limits
        self.owner = owner
        """What marks the leases that this opening of the store holds."""
        self.now = 0.0
        """The transaction's time."""
        self.totals = Totals(0, 0, 0, 0)
        self.suppression = SuppressionState(connection, limits.suppression_states)
        self.woken: set[str] = set()
        """Hooks of which this transaction made a delivery pending."""
        self.dropping_answers = False
        """Answers' bodies found no room, the last time."""
        self.clock_was_set_back = True
        """Since ``retention.make_due`` last looked; nobody knows what was before this opening of the store."""
        self._seen_version: int | None = None
        self._by_hook: dict[str, HookCounters] = {}
        self._changed: dict[int, HookCounters] = {}
        self._totals_as_read = self.totals.row()
        self._suppressed: dict[tuple[int, str, str, HeldBack], int] = {}
        self._last_event = 0
        self._deliveries = 0
        self._bytes = 0

    def begin(self, now: float) -> None:
        """Start a transaction's books, just after its BEGIN."""
        self.clock_was_set_back |= now < self.now
        self.now = now
        (version,) = self.connection.execute("PRAGMA data_version").fetchone()
        if version != self._seen_version:
            self._read()
            self._seen_version = version

    def flush(self) -> None:
        """Write what changed, before the transaction's COMMIT."""
        execute = self.connection.executemany
        self.suppression.flush(self._changed)
        if self._changed:
            execute(_WRITE_HOOK, [(a.deliveries, a.bytes, a.states, a.n) for a in self._changed.values()])
            self._changed.clear()
        if self._suppressed:
            execute(_COUNT_SUPPRESSED, [(*key, count, self.now) for key, count in self._suppressed.items()])
            self._suppressed.clear()
        totals = self.totals.row()
        if totals != self._totals_as_read:
            self.connection.execute(_WRITE_TOTALS, totals)
            self._totals_as_read = totals

    def forget(self) -> None:
        """Drop everything, after a rollback: the next ``begin`` reads it again."""
        self._seen_version = None
        self._changed.clear()
        self._suppressed.clear()
        self.woken.clear()

    def take_woken(self) -> set[str]:
        """Return the hooks to wake after the commit."""
        woken, self.woken = self.woken, set()
        return woken

    def next_event(self) -> int:
        """Return a new event's number."""
        self._last_event += 1
        return self._last_event

    def known(self, hook_id: str) -> HookCounters | None:
        """Return the hook's account, None where it never had one."""
        return self._by_hook.get(hook_id)

    def of_hook(self, hook_id: str) -> HookCounters:
        """Return the hook's account; opens one."""
        account = self._by_hook.get(hook_id)
        if account is None:
            n = self.connection.execute(_ADD_HOOK, (hook_id,)).lastrowid
            assert n is not None  # noqa: S101  # an INSERT has one; this tells the type checker
            account = self._by_hook[hook_id] = HookCounters(hook_id, n, 0, 0, 0)
        return account

    def all_hooks(self) -> list[HookCounters]:
        """Return all."""
        return list(self._by_hook.values())

    def refusal(self, account: HookCounters, size: int) -> HeldBack | None:
        """Return the limit that another unsettled delivery of ``size`` bytes would break."""
        return refusal(self.limits, account.deliveries, self._deliveries, self._bytes, size)

    def add(self, account: HookCounters, size: int) -> None:
        """Count a delivery that became unsettled."""
        self.shift(account, 1, size)
        self.woken.add(account.hook_id)

    def shift(self, account: HookCounters, deliveries: int, size: int) -> None:
        """Change what a hook holds by so many unsettled deliveries and bytes."""
        account.deliveries += deliveries
        account.bytes += size
        self._deliveries += deliveries
        self._bytes += size
        self._changed[account.n] = account

    def settle(self, state: str, count: int) -> None:
        """Change the number of settled deliveries in a state."""
        if state == "delivered":
            self.totals.delivered += count
        else:
            self.totals.dead += count

    def suppress(self, account: HookCounters, candidate: Candidate, event: str, reason: HeldBack) -> None:
        """Count a hook that did not fire."""
        key = (account.n, candidate.source, event, reason)
        self._suppressed[key] = self._suppressed.get(key, 0) + 1

    def _read(self) -> None:
        rows = self.connection.execute(_ALL_HOOKS).fetchall()
        self._by_hook = {row[0]: HookCounters(*row) for row in rows}
        self._deliveries = sum(row[2] for row in rows)
        self._bytes = sum(row[3] for row in rows)
        self.totals = Totals(*self.connection.execute(_READ_TOTALS).fetchone())
        self._totals_as_read = self.totals.row()
        self.suppression.forget()
        (self._last_event,) = self.connection.execute(_LAST_EVENT).fetchone()
