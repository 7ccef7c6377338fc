"""What on_change and snooze remember, read and written in the transaction that fires a hook.

At most ``CACHED_STATES`` states stay in memory between transactions; past it all of them are dropped and read again
when they are needed. What the current transaction has put is not in the file yet and is kept beside them. In the
file a hook has at most ``QueueLimits.suppression_states``: past it those that end soonest are deleted, with the count
of what they held back. A state whose snooze is over stays ``QueueLimits.settled_seconds`` where it has such a count.
"""

import sqlite3
from collections.abc import Mapping

from msgspec.structs import astuple

from kong_eventhooks_plugin.model.suppression import SuppressionSlot
from kong_eventhooks_plugin.queue.accepting import Key
from kong_eventhooks_plugin.queue.hook_counters import HookCounters
from kong_eventhooks_plugin.queue.sqlite.statements import SQL

CACHED_STATES = 10_000


class SuppressionState:
    def __init__(self, cursor: sqlite3.Cursor, limit: int) -> None:
        self._cursor = cursor
        self._limit = limit
        self._cached: dict[Key, SuppressionSlot] = {}
        self._written: dict[Key, SuppressionSlot] = {}

    def get(self, key: Key) -> SuppressionSlot | None:
        state = self._cached.get(key) or self._written.get(key)
        if state is None:
            row = self._cursor.execute(SQL.suppression_state, key).fetchone()
            if row is None:
                return None
            state = self._cache(key, SuppressionSlot(*row))
        return state

    def hold(self, key: Key, now: float) -> None:
        """Count one more that a state, which was just read, holds back."""
        state = self.get(key)
        if state is not None:
            self._written[key] = self._cache(key, state.hold(now))

    def put(self, hook: HookCounters, key: Key, state: SuppressionSlot, *, new: bool) -> None:
        """Remember a state from now on; ``new`` where the slot had none."""
        self._written[key] = self._cache(key, state)
        hook.states += new

    def flush(self, changed: Mapping[int, HookCounters]) -> None:
        """Write what was put. ``changed`` are the hooks of which a hook fired."""
        if not self._written:
            return
        self._cursor.executemany(
            SQL.write_suppression_state, [(*key, *astuple(state)) for key, state in self._written.items()]
        )
        self._written.clear()
        for hook in changed.values():
            excess = hook.states - self._limit
            if excess > 0:
                self._cursor.execute(SQL.delete_soonest_states, (hook.n, excess))
                hook.states = self._limit
                self._cached.clear()

    def forget(self) -> None:
        """Drop what is only in memory."""
        self._cached.clear()
        self._written.clear()

    def _cache(self, key: Key, state: SuppressionSlot) -> SuppressionSlot:
        if len(self._cached) >= CACHED_STATES:
            self._cached.clear()
        self._cached[key] = state
        return state
