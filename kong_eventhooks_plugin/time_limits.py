"""How long a piece of a task may take, as ``asyncio.timeout``, for what runs at each event: a third of its cost.

One timer looks at all pieces that run, so one that is over its time ends up to ``TICK`` seconds later. The timer runs
only while there is something to look at.

Limit: as many entries as pieces run; each user bounds its own.
"""

import asyncio
from collections.abc import Hashable
from types import TracebackType
from typing import Final, Protocol

TICK: Final = 0.05


class TimeLimits:
    """Use it from one event loop."""

    def __init__(self) -> None:
        self._running: dict[Limited, float] = {}
        self._ticking = False

    def within(self, seconds: float) -> "TimeLimit":
        """Return a context for a piece of the current task, which raises ``TimeoutError`` where it takes longer."""
        return TimeLimit(self, seconds)

    def begin(self, piece: "Limited", seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._running[piece] = loop.time() + seconds
        if not self._ticking:
            self._ticking = True
            loop.call_later(TICK, self._tick)

    def end(self, piece: "Limited") -> None:
        self._running.pop(piece, None)

    def _tick(self) -> None:
        self._ticking = bool(self._running)
        if not self._ticking:
            return
        loop = asyncio.get_running_loop()
        loop.call_later(TICK, self._tick)  # first: the others' time is over too, where one fails to end
        now = loop.time()
        for piece in [piece for piece, until in self._running.items() if until <= now]:
            del self._running[piece]
            piece.expire()


class Limited(Hashable, Protocol):
    """``expire`` is called when its time is over, unless it has ended."""

    def expire(self) -> None: ...


class TimeLimit:
    __slots__ = ("_cancelling", "_expired", "_limits", "_seconds", "_task")

    def __init__(self, limits: TimeLimits, seconds: float) -> None:
        self._limits = limits
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit needs a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._limits.begin(self, self._seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if not self._expired:
            self._limits.end(self)
        # Where somebody else has cancelled the task too, it is cancelled.
        elif self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        self._expired = True
        self._task.cancel()
