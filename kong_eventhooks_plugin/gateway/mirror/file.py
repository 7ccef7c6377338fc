"""The mirror's tables in their SQLite file: create, recognise, migrate, open; a damaged file is moved aside.

The file is shared with ``gateway.notes``, so the tables' version is a row of their own and not the file's. What is in
it can be found again by a round, but for the outbox: a file that SQLite cannot read is kept beside as ``*.damaged``
(one of them: the latest), told in the log, and a new one begun, whose first round is silent.

Limits: ``PATIENCE`` seconds for another process's lock, then ``StoreUnavailable``. The log is carried over into the
file (``tidy``) from ``LOG_BYTES`` on, at moments when nobody waits for it; should there be none, at 64 MB. NORMAL: a
transaction outlives the process from its commit on, the machine from then on; a power cut may have changes told again.
"""

import sqlite3
from pathlib import Path
from typing import Final

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.gateway.mirror import statements as sql
from kong_eventhooks_plugin.gateway.store_file import create, is_damage, move_aside

PATIENCE: Final = 5.0
LOG_BYTES: Final = 4 << 20

_SETTINGS: Final = (
    f"PRAGMA busy_timeout = {int(PATIENCE * 1_000)}",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 16000",
    # Below LOG_BYTES: the log's file is cut back after it was carried over, else its size would ask for that for ever.
    "PRAGMA journal_size_limit = 1048576",
    "PRAGMA cache_size = -16384",
    "PRAGMA temp_store = MEMORY",
)


def open_file(path: Path) -> sqlite3.Connection:
    """Open the file for reading and writing, made and migrated where needed. Blocks. Raises ``StoreUnavailable``."""
    try:
        return _open(path)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise StoreUnavailable(f"{path}: {error}") from error
        move_aside(path, str(error))
    try:
        return _open(path)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path}: {error}") from error


def has_grown(path: Path) -> bool:
    """Tell whether the file's log is worth carrying over."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size >= LOG_BYTES
    except OSError:
        return False


def tidy(connection: sqlite3.Connection) -> None:
    """Carry the log over into the file; it takes some fsyncs."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").close()


def _open(path: Path) -> sqlite3.Connection:
    create(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        for setting in _SETTINGS:
            connection.execute(setting)
        _keep_log(connection, path)
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _keep_log(connection: sqlite3.Connection, path: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreUnavailable(f"{path}: this file system cannot keep a write-ahead log; choose a local disk")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the tables to our version, all or nothing; two processes may try at once."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > sql.VERSION:
            raise StoreUnavailable(
                f"{path}: was written by a newer version of this program (its mirror is {version}, ours "
                f"{sql.VERSION}); run that version, or remove the file"
            )
        for step in range(version + 1, sql.VERSION + 1):
            for statement in _statements(sql.STEPS[step]):
                connection.execute(statement)
            connection.execute(sql.SET_FACT, ("version", step))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection) -> int:
    if connection.execute(sql.IS_THERE).fetchone() is None:
        return 0
    row = connection.execute(sql.FACT, ("version",)).fetchone()
    return int(row[0]) if row else 0


def _statements(script: str) -> list[str]:
    statements, statement = [], ""
    for line in script.splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            statements.append(statement)
            statement = ""
    return statements
