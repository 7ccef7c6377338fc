"""Changes that the route saw and that have not been worked yet, in order.

Limits: ``OBSERVATIONS`` of them and ``BYTES`` of answers. What comes past either is refused: the caller counts it and
has the mirror look, which finds the change without knowing who made it.
"""

import asyncio
from collections import deque
from typing import Final

from kong_eventhooks_plugin.model.observation import ChangeObservation

OBSERVATIONS: Final = 1_000
BYTES: Final = 64 << 20


class ObservationQueue:
    """A bounded queue for one consumer, who looks at the oldest and takes it off when it is done."""

    def __init__(self, observations: int = OBSERVATIONS, limit: int = BYTES) -> None:
        self._observations = observations
        self._limit = limit
        self._waiting: deque[ChangeObservation] = deque()
        self._bytes = 0
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, seen: ChangeObservation) -> bool:
        """Take it to the end; False where a limit leaves no room. Never waits."""
        size = _size(seen)
        if len(self._waiting) >= self._observations or self._bytes + size > self._limit:
            return False
        self._waiting.append(seen)
        self._bytes += size
        self._some.set()
        return True

    async def oldest(self) -> ChangeObservation:
        """Wait until there is one and return the oldest; it stays until ``done``."""
        await self._some.wait()
        return self._waiting[0]

    def done(self) -> None:
        """Take the oldest off."""
        self._bytes -= _size(self._waiting.popleft())
        if not self._waiting:
            self._some.clear()


def _size(seen: ChangeObservation) -> int:
    return len(seen.body) if seen.body is not None else 0
