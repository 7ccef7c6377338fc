"""What an observation of the route or a complete list means against what the mirror knows. Pure.

Every known state has a window: Kong was in that state at some moment of it (a request from its start to its answer; a
page from its request to its answer). Of two windows one is certainly before the other, or they overlap and their order
is not known.

A write that the route saw:

==============================================  ========  =====================  ======================================
the mirror has                                  reported  the mirror then has    because
==============================================  ========  =====================  ======================================
the same state, reported by a reconciliation    no        what it had            the reconciliation reported this very
that listed it after the request began,                                          change. The same content with other
unclaimed                                                                        times is another write's
a state from after the request                  yes       what it had            the observation is late
a state from before the request                 yes       the new state
a state whose order is not known                yes       the new state, and in  a reconciliation that finds the other
                                                          doubt the other        state reports neither again
a tombstone from after the request              yes       the tombstone
a tombstone, order not known, PATCH             yes       the tombstone          Kong patches nothing that is deleted
a tombstone, order not known, POST or PUT       yes       the new state, in
                                                          doubt: deleted
a tombstone from before; nothing                yes       the new state
==============================================  ========  =====================  ======================================

It is reported as an update where the entity is known to have existed before the request began, and so is any PATCH;
else as a create. A late one has no ``old_entity``: what was before it is not known any more.

A delete that the route saw drops the row of an entity that is known to have existed before the request began. Where the
row's state is from after the request, the entity was made again: the delete is reported and the row stays. An entity
that became known during the request may have come after it: the next reconciliation finds out whether it still exists.

What a complete list shows: an entity that the route touched since the scan began is skipped (``touched``); a state that
the mirror has, or has in doubt, is adopted silently; anything else is reported.
"""

from typing import Final, Literal, NamedTuple

from kong_eventhooks_plugin.model.operation import Operation

ABSENT: Final = bytes(16)
"""Among the states in doubt: that the entity is deleted."""

DOUBTS: Final = 8
"""States in doubt that are kept of one entity; past it the oldest is dropped, and may be reported again."""

SLACK: Final = 0.05
"""Seconds by which a request can have begun before the answer to the one before it, as far as the times go: nginx's
clock stands still while it works, ours does not. Closer than that, what was seen first was first."""

LATEST: Final = 3_600.0
"""Seconds by which an observation can be late at most. What is known from further in its future is from before the
clock was set back, and does not count as later."""

_SIZE: Final = len(ABSENT)


class TimeWindow(NamedTuple):
    """From ``low`` to ``high``, Unix seconds."""

    low: float
    high: float

    def before(self, other: "TimeWindow") -> bool:
        """Return whether all of it is certainly before all of the other."""
        return self.high < other.low < self.high + LATEST

    def leads_to(self, later: "TimeWindow") -> bool:
        """Return whether all of it is before all of a request that was seen later, give or take ``SLACK``."""
        return self.high < later.low + SLACK or later.high + LATEST <= self.low

    def around(self, other: "TimeWindow") -> "TimeWindow":
        """Return the smallest window that contains both."""
        return TimeWindow(min(self.low, other.low), max(self.high, other.high))


class KnownState(NamedTuple):
    """What the mirror knows of an entity that exists, or of a deleted one (its tombstone).

    ``since``: when it certainly existed first.
    """

    since: float
    window: TimeWindow
    by_route: bool


class WriteVerdict(NamedTuple):
    """What becomes of an observation of a write: what is reported, and whether the state is stored.

    ``doubt``: what the mirror had may be the later state. ``late``: what the mirror had is no ``old_entity`` of it.
    """

    operation: Operation
    store: bool
    doubt: bool = False
    late: bool = False


def judge_write(method: str, seen: TimeWindow, row: KnownState | None, tombstone: KnownState | None) -> WriteVerdict:
    """Judge a write that no reconciliation has reported."""
    if row is not None:
        operation = _operation(method, seen, row)
        if seen.before(row.window):
            return WriteVerdict(operation, store=False, late=True)
        return WriteVerdict(operation, store=True, doubt=not row.window.leads_to(seen))
    if tombstone is not None and not tombstone.window.leads_to(seen):
        if method == "PATCH" or seen.before(tombstone.window):
            return WriteVerdict(_operation(method, seen, tombstone), store=False, late=True)
        return WriteVerdict(_operation(method, seen, None), store=True, doubt=True)
    return WriteVerdict(_operation(method, seen, None), store=True)


def _operation(method: str, seen: TimeWindow, before: KnownState | None) -> Operation:
    if method == "PATCH" or (before is not None and existed(seen, before)):
        return "update"
    return "create"


def outlives(seen: TimeWindow, row: KnownState) -> bool:
    """Return whether the row's state is from after a delete: the entity was made again."""
    return seen.before(row.window)


def existed(seen: TimeWindow, row: KnownState) -> bool:
    """Return whether the entity is known to have existed before the request began."""
    return row.since < seen.low + SLACK or row.since > seen.high + LATEST


class Watermark(NamedTuple):
    """How far the route had written when a scan began: its last revision, and the time until which it may lag.

    A list may be read from a replica of Kong's database that is behind: what the route wrote shortly before the scan
    counts as touched.
    """

    rev: int
    lag_until: float

    def touched(self, route_rev: int, high: float) -> bool:
        """Return whether the route wrote the row, or the tombstone, too late for the scan to be compared with it."""
        return route_rev > self.rev or (route_rev > 0 and self.lag_until < high < self.lag_until + LATEST)


Listed = Literal["same", "adopt", "changed"]


def judge_listed(content: bytes, row_content: bytes, others: bytes | None) -> Listed:
    """Judge a state that a complete list shows of an entity that the mirror knows and the route did not touch."""
    if content == row_content:
        return "adopt" if others else "same"
    return "adopt" if in_doubt(others, content) else "changed"


def in_doubt(others: bytes | None, content: bytes) -> bool:
    return others is not None and content in _split(others)


def doubting(others: bytes | None, content: bytes) -> bytes:
    kept = [other for other in _split(others or b"") if other != content]
    return b"".join([*kept, content][-DOUBTS:])


def _split(others: bytes) -> list[bytes]:
    return [others[at : at + _SIZE] for at in range(0, len(others), _SIZE)]
