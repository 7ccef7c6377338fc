"""Observations that wait to become events: in a flood reading Kong's calls and answering them comes first.

To make an event of a log takes longer than to read it and to answer, and Kong, which asks for no leave, ends requests
faster than both together: what it then waits for are its timers (``commit_deadlines``), and past 256 of them each call
is a new connection as well. So once as many calls wait as may, observations are kept here, oldest first, and
``A_TURN`` of them are handed on in each turn of the event loop, beside all the calls that the turn has read.

Limits: ``OBSERVATIONS``, and ``BYTES`` of their logs, of which one that has been read counts ``READ`` times (it was
seen to take 1.1 times its text beside that, 2.8 times with 200 headers); past either the oldest is handed on for each
that comes. What was answered before is lost where the process is killed; a server that stops hands everything on.
"""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from kong_eventhooks_plugin.model.observation import LogObservation

A_TURN = 16
OBSERVATIONS = 4_096
BYTES = 32 << 20
READ = 4


class ObservationBacklog:
    """``submit`` hands an observation on; what it returns ends when that is committed (None: it has)."""

    def __init__(self, submit: "Callable[[LogObservation], Future[Any] | None]") -> None:
        self._submit = submit
        self._waiting: deque[tuple[LogObservation, Future[Any]]] = deque()
        self._bytes = 0
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, seen: LogObservation) -> "Future[Any]":
        """Keep an observation for later; the future ends when what it causes is committed."""
        loop = asyncio.get_running_loop()
        future: Future[Any] = loop.create_future()
        self._waiting.append((seen, future))
        self._bytes += _bytes_of(seen)
        if len(self._waiting) > OBSERVATIONS or self._bytes > BYTES:
            self._hand_on()
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._next)
        return future

    def flush(self) -> None:
        """Hand everything on."""
        while self._waiting:
            self._hand_on()

    def _next(self) -> None:
        for _ in range(min(A_TURN, len(self._waiting))):
            self._hand_on()
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._next)

    def _hand_on(self) -> None:
        seen, future = self._waiting.popleft()
        self._bytes -= _bytes_of(seen)
        try:
            committed = self._submit(seen)
        except Exception as error:  # noqa: BLE001 - a bug in the host; who waits counts and logs it
            future.set_exception(error)
            return
        if committed is None:
            future.set_result(None)
        else:
            committed.add_done_callback(partial(_copy, future))


def _bytes_of(seen: LogObservation) -> int:
    return len(seen.serialized) * (1 if seen.log is None else READ)


def _copy(future: "Future[Any]", committed: "Future[Any]") -> None:
    """End one future as another has ended."""
    if future.done():
        return
    if committed.cancelled():
        future.cancel()
    elif (error := committed.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(committed.result())
