"""One thread that runs calls for the event loop, one after another.

``concurrent.futures`` would do, at several times the cost of a hand-over; each commit has two. The callers bound the
queue: the write cycle has one call in progress, ``reads`` counts its own.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

Then = Callable[[T | None, Exception | None], None]


class CallThread:
    """Runs calls in order. Neither the loop nor the thread waits for the other."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: SimpleQueue[tuple[Callable[[], Any], Then[Any]] | None] = SimpleQueue()
        # A daemon: a disk that never answers must not keep the process from exiting.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], T], then: Then[T]) -> None:
        """Run ``call`` in the thread, then ``then(result, error)`` on the loop."""
        self._calls.put((call, then))

    def call(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        """Run ``call`` in the thread; the future has its result or its exception."""
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
        """Let the thread end after the calls that it has; return at once."""
        self._calls.put(None)

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            self._deliver(*asked)
            del asked  # what it holds can be large, and the next call far

    def _deliver(self, call: Callable[[], T], then: Then[T]) -> None:
        result: T | None = None
        error: Exception | None = None
        try:
            result = call()
        except Exception as raised:  # noqa: BLE001  # the caller gets it, whatever it is
            error = raised
        try:
            self._loop.call_soon_threadsafe(then, result, error)
        except RuntimeError:
            return  # the loop is closed: nobody waits for it
