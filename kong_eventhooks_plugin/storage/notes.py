"""Small durable notes, name -> bytes, in a table of the data directory's ``gateway.db``.

They preserve over a restart what is known of Kong: a cache that Kong can fill again. So a file that SQLite cannot read
is replaced (``storage.replaceable``; the mirror has its tables in the same file), at the start and later. Two processes
may use it at once. A note that was put survives a kill -9; a power cut may lose the last ones.

Statements run in a thread, since the disk and another process's lock can block.

Limits: 16 MiB a note and 64 MiB in all, 200 characters a name, 5 s for another process's lock: past any of them
``StoreUnavailable``, and nothing is changed.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.storage.replaceable import FileReplaced, ReplaceableFile
from kong_eventhooks_plugin.storage.sqlite import transaction

MAX_NOTE = 16 << 20
MAX_TOTAL = 64 << 20
MAX_NAME = 200
PATIENCE = 5.0

_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA journal_size_limit = 16777216",
    "CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT",
)
_GET = "SELECT value FROM notes WHERE name = ?"
_PUT = "INSERT INTO notes (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_OTHERS = "SELECT coalesce(sum(length(value)), 0) FROM notes WHERE name <> ?"
_NAMES = "SELECT name FROM notes WHERE substr(name, 1, length(?)) = ? ORDER BY name"
_DROP = "DELETE FROM notes WHERE name = ?"

T = TypeVar("T")


class NoteStore:
    """The notes of one file. ``open`` before use, ``close`` after it. Everything raises ``StoreUnavailable``."""

    def __init__(self, path: Path, limit: int = MAX_TOTAL) -> None:
        self._file = ReplaceableFile(path, PATIENCE, _prepare)
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="notes")
        self._opened = False

    async def open(self) -> None:
        """Create or open the file (0600); a damaged one is moved aside."""
        await self._in_thread(self._file.open)
        self._opened = True

    async def close(self) -> None:
        """Close the file; closing twice is fine."""
        if self._opened:
            self._opened = False
            await self._in_thread(self._file.close)
        self._thread.shutdown(wait=False)

    async def get(self, name: str) -> bytes | None:
        rows = await self._run(lambda connection: connection.execute(_GET, (name,)).fetchall())
        return bytes(rows[0][0]) if rows else None

    async def put(self, name: str, value: bytes) -> None:
        if len(value) > MAX_NOTE or len(name) > MAX_NAME:
            raise StoreUnavailable(f"a note is larger than {MAX_NOTE:,} bytes, or its name than {MAX_NAME} characters")
        await self._run(lambda connection: self._put(connection, name, value))

    async def names(self, prefix: str = "") -> list[str]:
        """Return the names that begin with ``prefix``, sorted."""
        rows = await self._run(lambda connection: connection.execute(_NAMES, (prefix, prefix)).fetchall())
        return [name for (name,) in rows]

    async def drop(self, name: str) -> None:
        """Delete a note, if it exists."""
        await self._run(lambda connection: connection.execute(_DROP, (name,)).close())

    async def _run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        return await self._in_thread(lambda: self._run_recovering(call))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except RuntimeError as error:  # the thread is stopped
            raise StoreUnavailable(f"{self._file.path}: the notes are closed") from error

    def _run_recovering(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Run a call; where the file was damaged, run it again on a new one."""
        if not self._opened:
            raise StoreUnavailable(f"{self._file.path}: the notes are not open")
        try:
            return self._file.run(call)
        except FileReplaced:
            return self._file.run(call)

    def _put(self, connection: sqlite3.Connection, name: str, value: bytes) -> None:
        with transaction(connection):
            (others,) = connection.execute(_OTHERS, (name,)).fetchone()
            if others + len(value) > self._limit:
                raise StoreUnavailable(f"{self._file.path}: the notes would be larger than {self._limit:,} bytes")
            connection.execute(_PUT, (name, value))


def _prepare(connection: sqlite3.Connection) -> None:
    for setting in _SETTINGS:
        connection.execute(setting)
