"""Checkpoints beside the writer: what the log holds is copied into the file in a thread, on a connection of its own.

Left to itself, SQLite makes them in the COMMIT that fills the log: every event in it waits for the file's fsync, which
can take a second on a slow disk. A passive checkpoint locks nobody out. But the log starts anew only where a checkpoint
finds all of it copied and nothing was written meanwhile; so a first one does the work, and a second one, for which the
writer pauses, what was written since.

Limits: one checkpoint at a time, whenever some ``WORK`` pages were written (an estimate: SQLite tells the log's length
only to who makes a checkpoint). The writer pauses for ``PAUSE_SECONDS`` at most, then goes on, and pauses again when
the log is ``PATIENCE`` times as long. Past ``file.LOG_PAGES`` (256 MB) SQLite checkpoints in a COMMIT after all: a slow
disk has that once in 256 MB, not in 4 MB. Reading such a log after a crash takes 1.4 s.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import structlog

from kong_eventhooks_plugin.queue.sqlite.file import open_checkpointer
from kong_eventhooks_plugin.storage.thread import CallThread

WORK = 1_000
PAGES_A_COMMIT = 8
PAGES_A_HEAVY_COMMIT = 512
PAUSE_SECONDS = 0.05
PATIENCE = 4

log = structlog.get_logger()


class Checkpoints:
    """All methods are called on the loop."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._path = path
        self._loop = loop
        self._thread = CallThread("event-hooks-store-checkpoints", loop)
        self._connection: sqlite3.Connection | None = None
        self._work = 0
        self._running = False
        self._failing = False
        self._go_on: Callable[[], None] | None = None
        self._pause_over: asyncio.TimerHandle | None = None
        self._pages_to_pause = 0
        self.wants_pause = False
        """Whether the writer should call ``pause`` before its next transaction."""

    def committed(self, changes: int, *, heavy: bool = False) -> None:
        """Count a transaction that changed so many rows; a ``heavy`` one may have moved pages and changed none."""
        if changes or heavy:
            self._work += changes + (PAGES_A_HEAVY_COMMIT if heavy else PAGES_A_COMMIT)
            if self._work >= WORK and not self._running and not self.wants_pause:
                self._start()

    def pause(self, go_on: Callable[[], None]) -> None:
        """Make a checkpoint while nothing is written; ``go_on`` is called after it, or when it takes too long."""
        self.wants_pause = False
        self._start()  # first: where that fails the writer goes on, and nothing here may call it
        self._go_on = go_on
        self._pause_over = self._loop.call_later(PAUSE_SECONDS, self._resume)

    async def close(self, seconds: float) -> None:
        """Close the connection after the checkpoint under way; a disk that does not respond keeps it."""
        await asyncio.wait([self._thread.call(self._close)], timeout=seconds)
        self._thread.stop()

    def _start(self) -> None:
        self._thread.run(self._checkpoint, self._ended)
        self._work, self._running = 0, True

    def _checkpoint(self) -> tuple[int, int]:
        """Return the pages of the log, and how many of them are in the file."""
        if self._connection is None:
            self._connection = open_checkpointer(self._path)
        _, pages, copied = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return pages, copied

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _ended(self, result: tuple[int, int] | None, error: Exception | None) -> None:
        self._running = False
        if error is not None and not self._failing:
            log.warning("store_checkpoint_failed", file=str(self._path), error=str(error))
        self._failing = error is not None
        if result is not None:
            pages, copied = result
            complete = copied == pages and not self._work
            if complete:
                self._pages_to_pause = 0
            elif self._go_on is None and self._pause_over is None:
                self.wants_pause = pages >= self._pages_to_pause
            else:  # the pause was too short, or a reader needs an older state of the file
                self._pages_to_pause = PATIENCE * pages
        self._pause_over = None
        self._resume()

    def _resume(self) -> None:
        """Let the writer go on."""
        if self._pause_over is not None:
            self._pause_over.cancel()
        go_on, self._go_on = self._go_on, None
        if go_on is not None:
            go_on()
