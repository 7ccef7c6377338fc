"""Answers calls whose commit takes too long: one timer for all connections.

Limits: ``ANSWER_SECONDS`` from the call until it is answered, checked every ``TICK_SECONDS`` (together under Kong's and
our 1 s). Past it the commit goes on, and ``late`` is counted.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

ANSWER_SECONDS = 0.8
TICK_SECONDS = 0.1


class Waiting(Protocol):
    def answer_early(self) -> None:
        """Answer the call now; calls ``discard``."""


class CommitDeadlines:
    """``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float], seconds: float = ANSWER_SECONDS) -> None:
        self.seconds = seconds
        self._monotonic = monotonic
        self._deadlines: dict[Waiting, float] = {}
        self._ticking = False

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, call: Waiting, began: float) -> None:
        self._deadlines[call] = began + self.seconds
        if not self._ticking:
            self._start_timer()

    def discard(self, call: Waiting) -> None:
        self._deadlines.pop(call, None)

    def check(self) -> None:
        """Answer the calls that have waited for too long."""
        self._ticking = False
        now = self._monotonic()
        for call in [call for call, deadline in self._deadlines.items() if deadline <= now]:
            call.answer_early()
        if self._deadlines and not self._ticking:
            self._start_timer()

    def _start_timer(self) -> None:
        self._ticking = True
        asyncio.get_running_loop().call_later(TICK_SECONDS, self.check)
