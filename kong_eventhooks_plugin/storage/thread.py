"""One thread that runs calls for the event loop, one after another.

``concurrent.futures`` would do, at several times the price of a hand-over; there are two of these per commit.
What waits here is bounded by those who hand over: the write cycle has one call under way, ``reads`` counts its own.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

Then = Callable[[T | None, Exception | None], None]


class CallThread:
    """Runs calls in the order they come. The loop is never waited for, nor made to wait."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon: a disk that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], T], then: Then[T]) -> None:
        """Have ``call`` run in the thread, and ``then(result, error)`` after it on the loop."""
        self._calls.put(lambda: self._deliver(call, then))

    def call(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        """Run ``call`` in the thread; the future has its result or what it raised."""
        future: asyncio.Future[T] = self._loop.create_future()

        def resolve(result: T | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]  # without an error it is what call returned
            else:
                future.set_exception(error)

        self.run(call, resolve)
        return future

    def stop(self) -> None:
        """Let the thread end after what it has been given; returns at once."""
        self._calls.put(None)

    def join(self, seconds: float) -> None:
        """Wait for the thread's end; blocks."""
        self._thread.join(seconds)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def _deliver(self, call: Callable[[], T], then: Then[T]) -> None:
        result: T | None = None
        error: Exception | None = None
        try:
            result = call()
        except Exception as raised:  # noqa: BLE001  # whoever handed the call over hears of it, whatever it is
            error = raised
        try:
            self._loop.call_soon_threadsafe(then, result, error)
        except RuntimeError:
            return  # the loop is closed: nobody is left to hear it
