"""Calls that wait for a commit: how many may, and how long; one timer for all connections.

Each of them is a running timer of the nginx worker that made it, and a worker that has 4,096, some 600 of them its own,
drops what comes then, uncounted (``lua_max_running_timers``).

Limits: ``CALLS`` events wait at a time, those among them whose calls are answered already; past it a call is answered
at once, its event is made and committed after (``observation_backlog``), and ``early`` is counted. These are fewer than
the 256 connections that an nginx worker keeps (``lua_socket_pool_size``), also where a commit ends the wait of all at
once: past those each call is a new connection, which costs more than the call, and the longer calls wait the more of
them there are.
``ANSWER_SECONDS`` from the call until it is answered, checked every ``TICK_SECONDS`` (together under Kong's and our
1 s); past it the same, and ``late`` is counted.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

CALLS = 100
ANSWER_SECONDS = 0.8
TICK_SECONDS = 0.1


class Waiting(Protocol):
    def answer_early(self) -> None:
        """Answer the call now; calls ``discard``."""


class CommitDeadlines:
    """``monotonic`` gives seconds. ``committing``: how many calls wait for a commit, not for their lines' delivery.

    ``answered``: how many events wait for a commit whose calls were answered.
    """

    def __init__(self, monotonic: Callable[[], float], seconds: float = ANSWER_SECONDS, calls: int = CALLS) -> None:
        self.seconds = seconds
        self.committing = 0
        self.answered = 0
        self._calls = calls
        self._monotonic = monotonic
        self._deadlines: dict[Waiting, float] = {}
        self._ticking = False

    def __len__(self) -> int:
        return len(self._deadlines)

    @property
    def full(self) -> bool:
        """Whether no more calls may wait."""
        return len(self._deadlines) + self.answered >= self._calls

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
