"""Changes that the route saw and that are not processed yet, in order.

Limits: ``OBSERVATIONS`` of them and ``BYTES`` of answers. What exceeds either is refused: the caller counts it and
triggers a reconciliation, which finds the change without its actor.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

import structlog

from kong_eventhooks_plugin.model.observation import ChangeObservation

OBSERVATIONS: Final = 1_000
BYTES: Final = 64 << 20

_log = structlog.get_logger()


class ObservationQueue:
    """A bounded queue for one consumer, who takes the oldest off only when it is done."""

    def __init__(self, observations: int = OBSERVATIONS, limit: int = BYTES) -> None:
        self._observations = observations
        self._limit = limit
        self._pending: deque[ChangeObservation] = deque()
        self._bytes = 0
        self._consumed = False
        self._not_empty, self._empty = asyncio.Event(), asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._pending)

    def put(self, seen: ChangeObservation) -> bool:
        """Append it; False where a limit leaves no room. Never waits."""
        size = _size(seen)
        if len(self._pending) >= self._observations or self._bytes + size > self._limit:
            return False
        self._pending.append(seen)
        self._bytes += size
        self._empty.clear()
        self._not_empty.set()
        return True

    async def oldest(self) -> ChangeObservation:
        """Wait until there is one and return the oldest; it stays until ``done``."""
        await self._not_empty.wait()
        return self._pending[0]

    def first(self, limit: int) -> list[ChangeObservation]:
        """Return the oldest ones; they stay until ``done``."""
        return list(islice(self._pending, limit))

    def done(self, count: int = 1) -> None:
        for _ in range(count):
            self._bytes -= _size(self._pending.popleft())
        if not self._pending:
            self._not_empty.clear()
            self._empty.set()

    async def empty(self) -> None:
        """Wait until every observation is done."""
        await self._empty.wait()

    @contextmanager
    def consumed(self) -> Iterator[None]:
        """For the consumer, while it runs."""
        self._consumed = True
        try:
            yield
        finally:
            self._consumed = False

    async def drain(self, seconds: float, publish: Callable[[], Awaitable[None]] | None = None) -> None:
        """Wait until the consumer has done every observation, and publish; log where that takes longer.

        To be called before this process ends: another one does not know who made a change.
        """
        try:
            async with asyncio.timeout(seconds if self._consumed else 0):
                await self.empty()
                if self._consumed and publish is not None:
                    await publish()
        except TimeoutError:
            _log.warning("changes_not_drained", observations=len(self))


def _size(seen: ChangeObservation) -> int:
    return len(seen.body) if seen.body is not None else 0
