"""An SQLite file whose content can be found again: one that SQLite cannot read is moved aside and begun anew.

The damaged file is kept beside as ``*.damaged`` (one of them: the latest), and logged. Several users may hold the same
file, in this process and in others: a file that somebody else moved aside is noticed and opened anew.
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
    """The file was damaged and has been moved aside; the next call begins a new one."""


class ReplaceableFile:
    """One connection to the file. Blocks; everything raises ``StoreUnavailable``.

    ``prepare`` brings a new connection's settings and tables to what its user needs. ``patience`` is in seconds.
    """

    def __init__(self, path: Path, patience: float, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self.path = path
        self._patience = patience
        self._prepare = prepare
        self._connection: sqlite3.Connection | None = None
        self._number: int | None = None

    def open(self) -> None:
        """Open or create the file, a damaged one moved aside before."""
        with contextlib.suppress(FileReplaced):
            self._open()
            return
        self._open()

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        connection, self._connection, self._number = self._connection, None, None
        if connection is not None:
            connection.close()

    def run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Return what the call makes of the connection; raises ``FileReplaced`` where the file turns out damaged."""
        if self._connection is None or _number(self.path) != self._number:
            self.open()
        assert self._connection is not None  # noqa: S101 - open raises where it cannot
        return self._translated(call, self._connection)

    def _open(self) -> None:
        self.close()
        sqlite.create(self.path)
        self._number = _number(self.path)
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
            number = self._number
            self.close()
            if _number(self.path) == number:
                _move_aside(self.path, str(error))
            raise FileReplaced(f"{self.path}: {error}") from error


def _number(path: Path) -> int | None:
    """Return the file system's number of the file; None where there is none."""
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
