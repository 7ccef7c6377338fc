"""Seconds in which this process ran: the clock by which it judges its workers.

A machine that slept, a container that was frozen and a supervisor that was stopped (SIGSTOP, a debugger) or had no
processor say nothing about the workers, which mostly stood still as well. So a pause of more than ``LONGEST`` seconds
between two looks at this clock counts as ``LONGEST``; the supervisor looks at least twice in that time.
"""

import time
from collections.abc import Callable

LONGEST = 1.0


class RunningClock:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_at = clock()
        self._ran = 0.0

    def __call__(self) -> float:
        now = self._clock()
        self._ran += min(now - self._looked_at, LONGEST)
        self._looked_at = now
        return self._ran
