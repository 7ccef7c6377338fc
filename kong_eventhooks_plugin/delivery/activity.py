"""What each hook's attempts came to in the last hour, and its last attempts: for people, in memory alone.

It is on the way of every attempt, so it costs a few assignments. Limits: ``MINUTES`` pairs of counts and ``LAST``
attempts for a hook, ``HOOKS`` hooks; for one more the hook that was first seen is forgotten.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

MINUTES: Final = 60
LAST: Final = 12
HOOKS: Final = 2_000


class PastAttempt(NamedTuple):
    """``at`` is when it ended, in Unix seconds."""

    at: float
    outcome: Literal["delivered", "retry", "discard"]
    error: str | None
    status: int | None
    delivery_id: str


class Minute(NamedTuple):
    delivered: int
    failed: int


class _Hook:
    __slots__ = ("counts", "last")

    def __init__(self) -> None:
        self.counts: dict[int, list[int]] = {}
        self.last: deque[PastAttempt] = deque(maxlen=LAST)


class Activity:
    """``since`` is when counting began, in Unix seconds."""

    def __init__(self, since: float) -> None:
        self.since = since
        self._hooks: dict[str, _Hook] = {}

    def record(self, hook_id: str, attempt: PastAttempt) -> None:
        hook = self._hooks.get(hook_id)
        if hook is None:
            if len(self._hooks) >= HOOKS:
                del self._hooks[next(iter(self._hooks))]
            hook = self._hooks[hook_id] = _Hook()
        minute = int(attempt.at // 60)
        counts = hook.counts.get(minute)
        if counts is None:
            hook.counts = {key: count for key, count in hook.counts.items() if minute - MINUTES < key <= minute}
            counts = hook.counts[minute] = [0, 0]
        counts[attempt.outcome != "delivered"] += 1
        hook.last.append(attempt)

    def last(self, hook_id: str) -> Sequence[PastAttempt]:
        """Return a hook's last attempts, oldest first."""
        hook = self._hooks.get(hook_id)
        return () if hook is None else tuple(hook.last)

    def minutes(self, hook_id: str, now: float) -> list[Minute]:
        """Return the last ``MINUTES`` minutes, oldest first; the last one is under way."""
        hook, this = self._hooks.get(hook_id), int(now // 60)
        counts = {} if hook is None else hook.counts
        return [Minute(*counts.get(minute, (0, 0))) for minute in range(this - MINUTES + 1, this + 1)]

    def all_minutes(self, now: float) -> list[Minute]:
        """Return the same for all hooks together."""
        this = int(now // 60)
        totals = [[0, 0] for _ in range(MINUTES)]
        for hook in self._hooks.values():
            for minute, (delivered, failed) in hook.counts.items():
                if this - MINUTES < minute <= this:
                    totals[minute - this - 1][0] += delivered
                    totals[minute - this - 1][1] += failed
        return [Minute(*each) for each in totals]
