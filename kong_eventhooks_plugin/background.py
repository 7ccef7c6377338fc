"""What runs beside the calls: supervised loops, retries, task sets, and a log for what can happen at every request.

Limits of the log: one line per key in ``PERIOD`` seconds, and ``KEYS`` keys; past that, keys share one place. Lines
that are left out are counted in the next line of their key.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

import structlog

from kong_eventhooks_plugin.telemetry.raised import bug_fields, bug_text

PERIOD: Final = 10.0
KEYS: Final = 64
_OTHERS: Final = "others"

RETRY_SECONDS: Final = 1.0
REMIND_SECONDS: Final = 600.0
"""How often an error that stays is reported again."""
RECENT_SECONDS: Final = 300.0
"""How long the crash of a loop is reported as an error."""

T = TypeVar("T")

log = structlog.get_logger()


async def is_set_within(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for an event, at most so many seconds (None: for ever); return whether it was set, if for a moment."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


async def _retry_pause() -> None:
    await asyncio.sleep(RETRY_SECONDS)


class SupervisedLoop:
    """Runs a loop for ever: where it ends, by a bug or by itself, it begins again after ``pause``."""

    def __init__(self, name: str, pause: Callable[[], Awaitable[object]] = _retry_pause) -> None:
        self._name = name
        self._pause = pause
        self._last_crash: tuple[float, str] | None = None

    async def run(self, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            # In a task of its own: a task group in which a task fails would swallow our cancellation.
            task = asyncio.create_task(loop())
            try:
                await asyncio.wait([task])
            finally:
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled() and (error := task.exception()) is not None:
                    self._record(error)
            await self._pause()

    @property
    def error(self) -> str | None:
        """The last crash, for a while; None without one."""
        if self._last_crash is None or time.monotonic() - self._last_crash[0] >= RECENT_SECONDS:
            return None
        return self._last_crash[1]

    def _record(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        self._last_crash = (time.monotonic(), f"the {self._name} crashed ({bug_text(error)}) and restarts")
        log.error("loop_crashed", loop=self._name, **bug_fields(error))


async def retry(
    work: Callable[[], Awaitable[T]], errors: tuple[type[Exception], ...], failed: Callable[[str], None]
) -> T:
    """Return what ``work`` returns, once it does; until then ``failed`` gets an error's text, once, then rarely."""
    reported: dict[str, float] = {}
    while True:
        try:
            return await work()
        except errors as error:
            text, now = str(error), time.monotonic()
            # By text: errors that take turns are no news. As many are kept as there are retries in the time.
            reported = {known: at for known, at in reported.items() if now - at < REMIND_SECONDS}
            if text not in reported:
                reported[text] = now
                failed(text)
        await _retry_pause()


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
        self._write(self._log.warning, event, key, fields)

    def _write(self, write: Callable[..., Any], event: str, key: str, fields: dict[str, Any]) -> None:
        suppressed = self.due(key)
        if suppressed is not None:
            write(event, suppressed=suppressed, **fields)

    def due(self, key: str) -> int | None:
        """Return how many lines with this key were left out, where one may be written now; else None."""
        now = self._clock()
        if key not in self._seen and len(self._seen) >= KEYS:
            key = _OTHERS
        logged_at, left_out = self._seen.get(key, (None, 0))
        if logged_at is not None and 0 <= now - logged_at < self._period:
            self._seen[key] = (logged_at, left_out + 1)
            return None
        self._seen[key] = (now, 0)
        return left_out


class TaskSet:
    """Tasks until they end; a bug in one is logged. Whoever starts them bounds their number."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def run(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish(self, seconds: float) -> None:
        """Let all end within the seconds; cancel the rest."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            await cancel(*late)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background_task_failed", exc_info=error)


async def cancel(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until all have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
