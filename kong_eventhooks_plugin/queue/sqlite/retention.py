"""Deletes what is past its retention, and fails a removed hook's deliveries: ``CHUNK`` rows a transaction.

Each transaction runs in the store's thread; events are accepted between them. Free pages past ``SPARE_PAGES`` (16 MB)
are returned to the file system, ``VACUUM_PAGES`` (2 MB) a transaction; spare ones are used again. Hooks are forgotten
in one transaction (``queue.retention``), which looks at every settled delivery's entry in an index.
"""

from collections.abc import Callable

from kong_eventhooks_plugin.queue.limits import FURTHEST_DUE
from kong_eventhooks_plugin.queue.retention import FORGOTTEN
from kong_eventhooks_plugin.queue.sqlite.counters import Counters
from kong_eventhooks_plugin.queue.sqlite.statements import SQL

CHUNK = 500
SPARE_PAGES = 4_096
VACUUM_PAGES = 512


Step = Callable[[Counters], int]
"""One transaction's work: returns how many rows or pages it removed, 0 when there is nothing (more) to do."""


def fail_some(counters: Counters, hook_id: str, reason: str) -> int:
    """Make up to ``CHUNK`` unsettled deliveries of a hook dead."""
    hook = counters.known(hook_id)
    if hook is None or hook.deliveries == 0:
        return 0
    execute = counters.cursor.execute
    execute(SQL.choose_none)
    execute(SQL.choose_unsettled_of_hook, (hook.n, CHUNK))
    failed = 0
    for _, _, count, size in execute(SQL.chosen_by_hook_and_state).fetchall():
        counters.shift(hook, -count, -size)
        counters.settle("dead", count)
        failed += count
    execute(SQL.fail_chosen, (counters.now, reason))
    return failed


def make_due(counters: Counters) -> int:
    """Make up to ``CHUNK`` deliveries due that wait only because the clock was set back."""
    if not counters.clock_was_set_back:
        return 0
    values = {"now": counters.now, "furthest": counters.now + FURTHEST_DUE, "limit": CHUNK}
    for hook in counters.all_hooks():
        if hook.deliveries:
            made_due = counters.cursor.execute(SQL.make_due, {**values, "hook": hook.n}).rowcount
            if made_due:
                counters.woken.add(hook.hook_id)
                return made_due
    counters.clock_was_set_back = False
    return 0


def delete_old_settled(counters: Counters) -> int:
    return _delete(counters, SQL.choose_settled_before, counters.now - counters.limits.settled_seconds, CHUNK)


def delete_excess_settled(counters: Counters) -> int:
    """Delete the deliveries that were settled first, where there are too many."""
    excess = counters.totals.delivered + counters.totals.dead - counters.limits.settled_count
    return _delete(counters, SQL.choose_settled_first, min(CHUNK, excess)) if excess > 0 else 0


def delete_old_idle(counters: Counters) -> int:
    return _delete_idle(counters, SQL.delete_idle_before, counters.now - counters.limits.settled_seconds, CHUNK)


def delete_excess_idle(counters: Counters) -> int:
    """Delete the oldest events that have no delivery, where there are too many."""
    excess = counters.totals.idle - counters.limits.settled_count
    return _delete_idle(counters, SQL.delete_idle_first, min(CHUNK, excess)) if excess > 0 else 0


def delete_ended_states(counters: Counters) -> int:
    deleted, kept = 0, counters.now - counters.limits.settled_seconds
    for hook in counters.all_hooks():
        if hook.states and deleted < CHUNK:
            values = {"hook": hook.n, "now": counters.now, "kept": kept, "limit": CHUNK - deleted}
            ended = counters.cursor.execute(SQL.delete_ended_states, values).rowcount
            if ended:
                hook.states -= ended
                counters.shift(hook, 0, 0)
                counters.suppression.forget()
                deleted += ended
    return deleted


def forget_hooks(counters: Counters) -> int:
    """Delete hooks of which nothing is kept. A number may be given again: nothing in memory may have it."""
    unused = counters.cursor.execute(SQL.unused_hooks, (FORGOTTEN,)).fetchall()
    if unused:
        counters.cursor.executemany(SQL.delete_hook, unused)
        for (number,) in unused:
            counters.in_order.pop(number, None)
        counters.forget()
    return len(unused)


def return_pages(counters: Counters) -> int:
    (free,) = counters.cursor.execute("PRAGMA freelist_count").fetchone()
    pages: int = min(VACUUM_PAGES, free - SPARE_PAGES)
    if pages <= 0:
        return 0
    # The pragma frees one page a step, and Python's module takes only the first step of what has no columns.
    for _ in range(pages):
        counters.cursor.execute("PRAGMA incremental_vacuum(1)")
    return pages


STEPS: tuple[Step, ...] = (
    delete_old_settled, delete_excess_settled, delete_old_idle, delete_excess_idle, delete_ended_states,
)  # fmt: skip
"""The steps of a sweep, each repeated until it returns 0."""


def _delete(counters: Counters, choose: str, *values: float) -> int:
    """Delete the chosen deliveries with their attempts; their events then have one delivery less."""
    execute = counters.cursor.execute
    execute(SQL.choose_none)
    chosen = execute(choose, values).rowcount
    if chosen < 1:
        return 0
    for _, state, count, _ in execute(SQL.chosen_by_hook_and_state).fetchall():
        counters.settle(state, -count)
    counters.totals.answer_bytes -= execute(SQL.chosen_answer_bytes).fetchone()[0]
    execute(SQL.delete_chosen_attempts)
    execute(SQL.release_chosen_events)
    counters.totals.idle += execute(SQL.chosen_idle_events).fetchone()[0]
    execute(SQL.delete_chosen)
    return chosen


def _delete_idle(counters: Counters, statement: str, *values: float) -> int:
    deleted = counters.cursor.execute(statement, values).rowcount
    counters.totals.idle -= deleted
    return deleted
