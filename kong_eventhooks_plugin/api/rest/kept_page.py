"""A page that is costly to make: however many call it, making it takes no more than a share of the event loop's time.

Limits: a page is kept ``TIMES`` as long as it took to make, at most ``MAX_SECONDS``; one is made at a time, and who
calls meanwhile gets that one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

TIMES: Final = 9
MAX_SECONDS: Final = 2.0

T = TypeVar("T")


class KeptPage(Generic[T]):
    """``clock`` gives seconds."""

    def __init__(self, make: Callable[[], Awaitable[T]], clock: Callable[[], float]) -> None:
        self._make = make
        self._clock = clock
        self._lock = asyncio.Lock()
        self._kept: tuple[float, T] | None = None

    async def get(self) -> T:
        called_at = self._clock()
        async with self._lock:
            if self._kept is None or self._kept[0] < called_at:
                page = await self._make()
                took = self._clock() - called_at
                self._kept = (self._clock() + min(took * TIMES, MAX_SECONDS), page)
            return self._kept[1]
