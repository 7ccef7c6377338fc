"""Small tasks beside the loops, each kept until it has ended, and a log for what can happen at every request.

Limits of the log: one line per key in ``PERIOD`` seconds, and ``KEYS`` keys; past that, keys share one place. What
is left out is counted in the next line of its key.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

log = structlog.get_logger()

PERIOD: Final = 10.0
KEYS: Final = 64
_OTHERS: Final = "others"


class RateLimitedLogger:
    """Logs an event at most once per period and key. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float], period: float = PERIOD) -> None:
        self._clock = clock
        self._period = period
        self._log = structlog.get_logger()
        self._seen: dict[str, tuple[float, int]] = {}

    def error(self, event: str, key: str, **fields: Any) -> None:
        """Log the event as an error, with its fields and ``suppressed``, unless one with this key just was."""
        self._write(self._log.error, event, key, fields)

    def warning(self, event: str, key: str, **fields: Any) -> None:
        """Do the same as a warning."""
        self._write(self._log.warning, event, key, fields)

    def _write(self, write: Callable[..., Any], event: str, key: str, fields: dict[str, Any]) -> None:
        now = self._clock()
        if key not in self._seen and len(self._seen) >= KEYS:
            key = _OTHERS
        logged_at, left_out = self._seen.get(key, (None, 0))
        if logged_at is not None and 0 <= now - logged_at < self._period:
            self._seen[key] = (logged_at, left_out + 1)
            return
        self._seen[key] = (now, 0)
        write(event, suppressed=left_out, **fields)


class TaskSet:
    """Tasks until they end; a bug in one is logged. How many there are is bounded by those who start them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Start one."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def finish(self, seconds: float) -> None:
        """Let all end, for so long; cancel the rest."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background_task_failed", exc_info=error)
