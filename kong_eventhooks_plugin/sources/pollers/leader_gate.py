"""When a loop that looks at Kong by itself may do so, and how it waits. One ``LeaderGate`` for each such loop.

It looks only in the process that leads, and only while some hook hears what it would tell: otherwise it sleeps, and
Kong is not asked. Whoever falls asleep forgets what it knew and reads its notes when it wakes: another process may have
led meanwhile.

Limits: asleep it asks every ``CLOSED_POLL_SECONDS`` whether that changed. After failures in a row it waits
``FIRST_SECONDS``, twice as long each time, at most ``LONGEST_SECONDS``. Intervals and those waits are up to ``JITTER``
shorter or longer, so that several sidecars do not ask at one time.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

CLOSED_POLL_SECONDS: Final = 1.0
FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 60.0
JITTER: Final = 0.1

Wait = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""
Random = Callable[[], float]
"""Returns a number from 0 to 1."""


class LeaderGate:
    """``leads`` says whether this process leads, ``wanted`` whether a hook hears what the loop tells."""

    def __init__(
        self,
        leads: Callable[[], bool],
        wanted: Callable[[], bool],
        wait: Wait = asyncio.sleep,
        dice: Random = random.random,
    ) -> None:
        self._leads = leads
        self._wanted = wanted
        self._wait = wait
        self._random = dice

    def is_open(self) -> bool:
        """Tell whether the loop may look."""
        return self._leads() and self._wanted()

    def closed_reason(self) -> str | None:
        """Say why it may not, for people; None where it may."""
        if not self._leads():
            return "another process delivers"
        return None if self._wanted() else "no hook subscribes to it"

    def jittered(self, seconds: float) -> float:
        """Return about so many seconds."""
        return seconds * (1 + JITTER * (2 * self._random() - 1))

    async def pause(self, seconds: float) -> None:
        """Wait for so long, but wake to see whether it is still our turn."""
        await self._wait(min(max(0.0, seconds), CLOSED_POLL_SECONDS))

    async def hold(self, seconds: float) -> None:
        """Wait for so long, or until it is not our turn."""
        while seconds > 0 and self.is_open():
            await self.pause(seconds)
            seconds -= CLOSED_POLL_SECONDS


class Backoff:
    """Waits longer after each failure in a row."""

    def __init__(self, turns: LeaderGate) -> None:
        self._gate = turns
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many in a row."""
        return self._failures

    def reset(self) -> None:
        """End the row."""
        self._failures = 0

    async def failed(self) -> None:
        """Wait, or until it is not our turn any more."""
        seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(self._failures, 16))
        self._failures += 1
        await self._gate.hold(self._gate.jittered(seconds))
