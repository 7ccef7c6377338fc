"""An SQLite file whose content can be restored: one that SQLite cannot read is moved aside and created again.

The damaged file is kept as ``*.damaged`` (only the latest), and logged. Several users may have the same file open, in
this process and in others: each notices that another one replaced it, and opens the new file.
"""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.storage import sqlite

T = TypeVar("T")

log = structlog.get_logger()


class FileReplaced(StoreUnavailable):
    """The file was damaged and has been moved aside; the next call creates a new one."""


class ReplaceableFile:
    """One connection to the file. Blocks; everything raises ``StoreUnavailable``.

    ``prepare`` sets up a new connection and its tables. ``patience`` is in seconds.
    """

    def __init__(self, path: Path, patience: float, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self.path = path
        self._patience = patience
        self._prepare = prepare
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None

    def open(self) -> None:
        """Open or create the file; move a damaged one aside first."""
        with contextlib.suppress(FileReplaced):
            self._open()
            return
        self._open()

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        connection, self._connection, self._inode = self._connection, None, None
        if connection is not None:
            connection.close()

    def run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Call with the connection and return the result; raises ``FileReplaced`` where the file is damaged."""
        if self._connection is None or _inode(self.path) != self._inode:
            self.open()
        assert self._connection is not None  # noqa: S101 - open raises where it cannot
        return self._translated(call, self._connection)

    def _open(self) -> None:
        self.close()
        sqlite.create(self.path)
        self._inode = _inode(self.path)
        self._connection = self._translated(lambda _: self._connected(), None)

    def _connected(self) -> sqlite3.Connection:
        with sqlite.connection_to(self.path, self._patience) as connection:
            self._prepare(connection)
            return connection

    def _translated(self, call: Callable[..., T], connection: sqlite3.Connection | None) -> T:
        try:
            return call(connection)
        except sqlite3.Error as error:
            if not sqlite.is_damaged(error):
                raise StoreUnavailable(f"{self.path}: {error}") from error
            inode = self._inode
            self.close()
            if _inode(self.path) == inode:
                _move_aside(self.path, str(error))
            raise FileReplaced(f"{self.path}: {error}") from error


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _move_aside(path: Path, why: str) -> None:
    """Keep the file, and its log, as ``*.damaged``; raises ``StoreUnavailable`` where that is not possible."""
    aside = path.with_name(f"{path.name}.damaged")
    log.error("damaged_file_moved", path=str(path), moved_to=str(aside), error=why)
    try:
        for companion in ("-wal", "-shm", ""):
            old = path.with_name(path.name + companion)
            if old.exists():
                old.replace(aside.with_name(aside.name + companion))
    except OSError as error:
        raise StoreUnavailable(f"{path}: is damaged and cannot be moved aside: {error.strerror}") from error
