"""Forgetting, and burying a hook's deliveries: ``CHUNK`` rows a transaction, each in the store's thread.

Accepting goes on between the transactions. Free pages past ``SPARE_PAGES`` (16 MB) are given back to the file
system, ``VACUUM_PAGES`` (2 MB) a transaction; what is spare is used again.
"""

from collections.abc import Callable

from kong_eventhooks_plugin.queue.limits import FURTHEST_DUE
from kong_eventhooks_plugin.queue.sqlite.counters import Counters
from kong_eventhooks_plugin.queue.sqlite.statements import SQL

CHUNK = 500
SPARE_PAGES = 4_096
VACUUM_PAGES = 512

_CHOOSE_NONE = SQL["choose_none"]
_CHOOSE_UNSETTLED_OF_HOOK = SQL["choose_unsettled_of_hook"]
_CHOOSE_SETTLED_BEFORE = SQL["choose_settled_before"]
_CHOOSE_SETTLED_FIRST = SQL["choose_settled_first"]
_CHOSEN_BY_HOOK_AND_STATE = SQL["chosen_by_hook_and_state"]
_CHOSEN_ANSWER_BYTES = SQL["chosen_answer_bytes"]
_FAIL_CHOSEN = SQL["bury_chosen"]
_FORGET_CHOSEN_ATTEMPTS = SQL["forget_chosen_attempts"]
_RELEASE_CHOSEN_EVENTS = SQL["release_chosen_events"]
_CHOSEN_IDLE_EVENTS = SQL["chosen_idle_events"]
_FORGET_CHOSEN = SQL["forget_chosen"]
_FORGET_IDLE_BEFORE = SQL["forget_idle_before"]
_FORGET_IDLE_FIRST = SQL["forget_idle_first"]
_FORGET_ENDED_STATES = SQL["forget_ended_states"]
_MAKE_DUE = SQL["make_due"]

Step = Callable[[Counters], int]
"""One transaction's work: returns how many rows or pages went, 0 when there is nothing (more) to do."""


def fail_some(books: Counters, hook_id: str, reason: str) -> int:
    """Make up to ``CHUNK`` unsettled deliveries of a hook dead."""
    account = books.known(hook_id)
    if account is None or account.deliveries == 0:
        return 0
    execute = books.connection.execute
    execute(_CHOOSE_NONE)
    execute(_CHOOSE_UNSETTLED_OF_HOOK, (account.n, CHUNK))
    buried = 0
    for _, _, count, size in execute(_CHOSEN_BY_HOOK_AND_STATE).fetchall():
        books.shift(account, -count, -size)
        books.settle("dead", count)
        buried += count
    execute(_FAIL_CHOSEN, (books.now, reason))
    return buried


def make_due(books: Counters) -> int:
    """Make up to ``CHUNK`` deliveries due that only a clock which was set back keeps waiting."""
    if not books.clock_was_set_back:
        return 0
    values = {"now": books.now, "furthest": books.now + FURTHEST_DUE, "limit": CHUNK}
    for account in books.all_hooks():
        if account.deliveries:
            made_due = books.connection.execute(_MAKE_DUE, {**values, "hook": account.n}).rowcount
            if made_due:
                books.woken.add(account.hook_id)
                return made_due
    books.clock_was_set_back = False
    return 0


def forget_old_settled(books: Counters) -> int:
    """Forget deliveries that were settled too long ago."""
    return _forget(books, _CHOOSE_SETTLED_BEFORE, books.now - books.limits.settled_seconds, CHUNK)


def forget_many_settled(books: Counters) -> int:
    """Forget the deliveries that were settled first, where there are too many."""
    excess = books.totals.delivered + books.totals.dead - books.limits.settled_count
    return _forget(books, _CHOOSE_SETTLED_FIRST, min(CHUNK, excess)) if excess > 0 else 0


def forget_old_idle(books: Counters) -> int:
    """Forget events that no delivery needs and that came too long ago."""
    return _forget_idle(books, _FORGET_IDLE_BEFORE, books.now - books.limits.settled_seconds, CHUNK)


def forget_many_idle(books: Counters) -> int:
    """Forget the oldest events that no delivery needs, where there are too many."""
    excess = books.totals.idle - books.limits.settled_count
    return _forget_idle(books, _FORGET_IDLE_FIRST, min(CHUNK, excess)) if excess > 0 else 0


def forget_ended_states(books: Counters) -> int:
    """Forget states of snooze that are over."""
    forgotten = 0
    for account in books.all_hooks():
        if account.states and forgotten < CHUNK:
            values = (account.n, books.now, CHUNK - forgotten)
            ended = books.connection.execute(_FORGET_ENDED_STATES, values).rowcount
            if ended:
                account.states -= ended
                books.shift(account, 0, 0)
                books.suppression.forget()
                forgotten += ended
    return forgotten


def give_back_pages(books: Counters) -> int:
    """Give spare pages back to the file system; return how many."""
    (free,) = books.connection.execute("PRAGMA freelist_count").fetchone()
    pages: int = min(VACUUM_PAGES, free - SPARE_PAGES)
    if pages <= 0:
        return 0
    # The pragma frees one page a step: all its (empty) rows must be fetched.
    books.connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
    return pages


STEPS: tuple[Step, ...] = (
    forget_old_settled, forget_many_settled, forget_old_idle, forget_many_idle, forget_ended_states,
)  # fmt: skip
"""What a sweep forgets, each until it returns 0."""


def _forget(books: Counters, choose: str, *values: float) -> int:
    """Forget the chosen deliveries with their attempts; their events then have one delivery less."""
    execute = books.connection.execute
    execute(_CHOOSE_NONE)
    chosen = execute(choose, values).rowcount
    if chosen < 1:
        return 0
    for _, state, count, _ in execute(_CHOSEN_BY_HOOK_AND_STATE).fetchall():
        books.settle(state, -count)
    books.totals.answer_bytes -= execute(_CHOSEN_ANSWER_BYTES).fetchone()[0]
    execute(_FORGET_CHOSEN_ATTEMPTS)
    execute(_RELEASE_CHOSEN_EVENTS)
    books.totals.idle += execute(_CHOSEN_IDLE_EVENTS).fetchone()[0]
    execute(_FORGET_CHOSEN)
    return chosen


def _forget_idle(books: Counters, statement: str, *values: float) -> int:
    forgotten = books.connection.execute(statement, values).rowcount
    books.totals.idle -= forgotten
    return forgotten
