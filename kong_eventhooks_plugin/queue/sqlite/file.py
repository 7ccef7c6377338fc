"""Checks, migrates and opens the store's file."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.sqlite.statements import MIGRATIONS, SQL
from kong_eventhooks_plugin.storage.sqlite import Format, connection_to, create, is_busy, use_write_ahead_log

VERSION = max(MIGRATIONS)
"""The schema's version that this code reads and writes."""

FORMAT = Format(0x4B_45_68_6B, VERSION)
"""``KEhk``."""

OPENING_PATIENCE = 10.0
"""Seconds that opening waits for another process's lock (it may be migrating); then it fails."""

OPENING_PAUSE = 0.01

OLDEST_SQLITE = (3, 35, 0)
"""What the statements need: upserts, row values, JSON."""

LOG_PAGES = 65_536
"""The log's length at which a COMMIT makes a checkpoint. Before, ``checkpoints`` makes them."""

# A reader, or a slow disk, can keep the log long; after it the file is cut to 16 MB again.
_WRITER = f"""
PRAGMA busy_timeout = 0;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = {LOG_PAGES};
PRAGMA journal_size_limit = 16777216;
PRAGMA cache_size = -8192;
PRAGMA temp_store = MEMORY;
"""


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the store for writing; creates and migrates it. Blocks. Raises ``StoreUnavailable``."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreUnavailable(f"SQLite {sqlite3.sqlite_version} is too old, 3.35 is needed")
    create(path, with_directory=True)
    give_up = time.monotonic() + OPENING_PATIENCE
    while True:
        try:
            return _open_writer(path)
        except StoreUnavailable as error:
            # Two processes that switch a new file to WAL at once can collide; SQLite then fails without waiting.
            if error.__cause__ is None or not is_busy(error.__cause__):
                raise
            if time.monotonic() >= give_up:
                raise
        time.sleep(OPENING_PAUSE)


def _open_writer(path: Path) -> sqlite3.Connection:
    with _opened(path, "rw") as connection:
        _migrate(connection, path)
        connection.executescript(_WRITER)
        connection.execute(SQL.create_chosen)
        return connection


def open_checkpointer(path: Path) -> sqlite3.Connection:
    """Open the store of this process for checkpoints. Blocks. Raises ``StoreUnavailable``."""
    with _opened(path, "rw") as connection:
        connection.executescript("PRAGMA busy_timeout = 0; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0")
        return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the store of this or another process for reading; never creates or migrates. Blocks."""
    if not path.is_file():
        raise StoreUnavailable(f"{path}: there is no such file")
    with _opened(path, "ro") as connection:
        connection.execute("PRAGMA query_only = ON")
        version = FORMAT.version_of(connection, path)
        if version != VERSION:
            raise StoreUnavailable(f"{path}: its schema is {version}, ours {VERSION}; `serve` brings it up to date")
        return connection


@contextmanager
def _opened(path: Path, mode: Literal["rw", "ro"]) -> Iterator[sqlite3.Connection]:
    """Yield a new connection, which stays open unless something is raised; SQLite's errors become ours."""
    try:
        with connection_to(path, OPENING_PATIENCE, mode) as connection:
            yield connection
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise StoreUnavailable(f"{path}: is not an SQLite file; choose another") from error
        raise StoreUnavailable(f"{path}: {error}") from error


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the schema to our version, all or nothing; two processes may try at once."""
    if FORMAT.version_of(connection, path) == 0:
        # Must be set before there is a table. Retention frees space in steps.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    use_write_ahead_log(connection, path)
    FORMAT.migrate(connection, path, MIGRATIONS)
