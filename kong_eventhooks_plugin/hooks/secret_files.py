"""The content of hooks' secret files, read in threads and kept in memory.

A delivery asks for a secret on the event loop, where reading a file could hang with it. So the files of the hooks in
force are read when they appear and every ``SECONDS``: a rotated one counts within that time. A test and a ping read
theirs anew. A file that is not read within ``READ_SECONDS`` has no value until it is; its thread is left to it.

Limits: a file of 64 KiB below one of the given directories; past them it has no value. ``STUCK`` reads that do not end;
past them no file is read and none has a value.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection

import structlog

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.hooks.references import as_secret
from kong_eventhooks_plugin.storage.thread import CallThread

SECONDS = 1.0
READ_SECONDS = 2.0
STUCK = 8
MAX_BYTES = 64 << 10

_log = structlog.get_logger()


class SecretFiles:
    """``on_change`` is called on the loop when a file has another value than before."""

    def __init__(self, directories: Collection[str], on_change: Callable[[], None] = lambda: None) -> None:
        self._directories = directories
        self._on_change = on_change
        self._values: dict[str, str] = {}
        self._errors: dict[str, str] = {}
        self._reading: dict[str, asyncio.Future[str]] = {}
        self._idle: list[CallThread] = []  # one at most
        self._wanted: frozenset[str] = frozenset()
        self._added = asyncio.Event()
        self.changes = 0
        """How often a value, or why there is none, has changed."""

    def value(self, path: str) -> str | None:
        """Return a file's secret as it was last read."""
        return self._values.get(path)

    def error(self, path: str) -> str:
        """Return why a file has no value."""
        return self._errors.get(path, "it was not read yet")

    def want(self, paths: frozenset[str]) -> None:
        """Keep the values of these files, and of no others."""
        if not paths <= self._wanted:
            self._added.set()
        self._wanted = paths
        self.changes += 1
        for known in (self._values, self._errors):
            for path in known.keys() - paths:
                del known[path]

    async def run(self) -> None:
        """Read the wanted files now and then, until cancelled."""
        while True:
            self._added.clear()
            for path in sorted(self._wanted):
                await self.read(path)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    await self._added.wait()

    async def read(self, path: str) -> None:
        """Read a file; takes ``READ_SECONDS`` at the longest. One that is being read is not read twice."""
        reading = self._reading.get(path)
        if reading is not None and path in self._errors:
            return  # it is stuck
        if reading is None:
            if len(self._reading) >= STUCK:
                self._set(path, None, f"{STUCK} other files do not answer")
                return
            reading = self._reading[path] = self._start(path)
        await asyncio.wait({reading}, timeout=READ_SECONDS)
        if not reading.done():
            self._set(path, None, f"the file system has not answered for {READ_SECONDS:g} s")

    def _start(self, path: str) -> "asyncio.Future[str]":
        thread = self._idle.pop() if self._idle else CallThread("secret file", asyncio.get_running_loop())
        reading = thread.call(lambda: _secret(path, self._directories))
        reading.add_done_callback(lambda _: self._done(path, reading, thread))
        return reading

    def _done(self, path: str, reading: "asyncio.Future[str]", thread: CallThread) -> None:
        self._reading.pop(path, None)
        if self._idle:
            thread.stop()
        else:
            self._idle.append(thread)
        if reading.cancelled() or path not in self._wanted:
            return
        error = reading.exception()
        if error is None:
            self._set(path, reading.result(), "")
        else:
            self._set(path, None, getattr(error, "strerror", None) or "it is not UTF-8 text")

    def _set(self, path: str, value: str | None, error: str) -> None:
        if error and self._errors.get(path) != error:
            _log.warning("secret_file_unreadable", file=path, error=error)
        before, before_error = self._values.pop(path, None), self._errors.pop(path, None)
        if value is None:
            self._errors[path] = error
        else:
            self._values[path] = value
        if (before, before_error) != (value, error or None):
            self.changes += 1
        if before != value:
            self._on_change()


def _secret(path: str, directories: Collection[str]) -> str:
    secret = as_secret(files.read_below(path, directories, MAX_BYTES).decode())
    if not secret:
        raise OSError(0, "it is empty")
    return secret
