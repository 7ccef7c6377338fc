"""Operations that can wait for a transaction of others: one is begun for them only after ``SETTLED_WITHIN`` seconds.

The timer is left as it is when a transaction takes them, and set anew where it ends too early for those that came
since: at a usual rate one in ``SETTLED_WITHIN``, not one for each.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SETTLED_WITHIN: Final = 0.02


class Patience(Generic[T]):
    """``ended`` is called when one has waited that long."""

    def __init__(self, loop: AbstractEventLoop, ended: Callable[[], None]) -> None:
        self._loop = loop
        self._ended = ended
        self._timer: TimerHandle | None = None
        self._set_at = 0.0
        self._since = 0.0
        self.waiting: deque[T] = deque()

    def add(self, operation: T) -> None:
        if not self.waiting:
            self._since = self._loop.time()
            if self._timer is None:
                self._set(SETTLED_WITHIN)
        self.waiting.append(operation)

    def take(self) -> list[T]:
        """Take all that wait."""
        taken = list(self.waiting)
        self.waiting.clear()
        return taken

    def _set(self, seconds: float) -> None:
        self._set_at = self._loop.time()
        self._timer = self._loop.call_later(seconds, self._over)

    def _over(self) -> None:
        self._timer = None
        if not self.waiting:
            return
        if self._since > self._set_at:
            self._set(self._since + SETTLED_WITHIN - self._loop.time())
        else:
            self._ended()
