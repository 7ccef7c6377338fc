"""When a poller may poll, and how it waits. One ``LeaderGate`` for each poller.

It polls only in the process that leads, and only while some hook subscribes to its source: otherwise the gate is closed
and Kong is not asked. At a closed gate a poller drops its state, and it loads its notes when the gate opens: another
process may have led meanwhile. The same where this process has led anew since (the gate's ``term``): another may have
led in between.

Limits: a closed gate is checked every ``CLOSED_POLL_SECONDS``. After failures in a row a poller waits
``FIRST_SECONDS``, twice as long each time, at most ``LONGEST_SECONDS``. Intervals and those waits are up to ``JITTER``
shorter or longer, so that several sidecars do not poll at one time.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

CLOSED_POLL_SECONDS: Final = 1.0
FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 60.0
JITTER: Final = 0.1


class LeaderGate:
    """``leads`` gives the term in which this process leads, 0 while it does not; True and False where that is all.

    ``wanted``: a hook subscribes; ``dice`` returns a number from 0 to 1.
    """

    def __init__(
        self,
        leads: Callable[[], int],
        wanted: Callable[[], bool],
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._leads = leads
        self._wanted = wanted
        self._wait = wait
        self._random = dice

    def is_open(self) -> bool:
        return self.term() != 0

    def term(self) -> int:
        """Return the term in which it is open, 0 where it is closed."""
        return self._leads() if self._wanted() else 0

    def closed_reason(self) -> str | None:
        """Return the reason for people; None where it is open."""
        if not self._leads():
            return "another process polls"
        return None if self._wanted() else "no hook subscribes to it"

    def jittered(self, seconds: float) -> float:
        return seconds * (1 + JITTER * (2 * self._random() - 1))

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until the gate should be checked again."""
        await self._wait(min(max(0.0, seconds), CLOSED_POLL_SECONDS))

    async def hold(self, seconds: float) -> None:
        """Wait, or until the gate closes."""
        while seconds > 0 and self.is_open():
            await self.pause(seconds)
            seconds -= CLOSED_POLL_SECONDS


class Backoff:
    """Waits longer after each failure in a row."""

    def __init__(self, gate: LeaderGate) -> None:
        self._gate = gate
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    async def failed(self) -> None:
        """Count a failure and wait, or until the gate closes."""
        seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(self._failures, 16))
        self._failures += 1
        await self._gate.hold(self._gate.jittered(seconds))
