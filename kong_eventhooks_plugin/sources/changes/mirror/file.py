"""The mirror's tables in their SQLite file: their settings, their version, their log.

The file is shared with ``storage.notes``, so the tables' version is a row of their own and not the file's. A
reconciliation can find everything in it again, except the outbox: a damaged file is replaced
(``storage.replaceable``), and the first reconciliation of the new one is silent.

Limits: ``PATIENCE`` seconds for another process's lock, then ``StoreUnavailable``. The log is checkpointed from
``LOG_BYTES`` on, at moments when nobody waits for it; should there be none, at 64 MB. NORMAL: a transaction outlives
the process from its commit on, the machine from the checkpoint on; after a power cut changes may be published again.
"""

import sqlite3
from pathlib import Path
from typing import Final

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.sources.changes.mirror import statements as sql
from kong_eventhooks_plugin.storage.sqlite import migrate, use_write_ahead_log

PATIENCE: Final = 5.0
LOG_BYTES: Final = 4 << 20

_SETTINGS: Final = (
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 16000",
    # Below LOG_BYTES: the log's file is truncated after a checkpoint, or its size would demand one for ever.
    "PRAGMA journal_size_limit = 1048576",
    "PRAGMA cache_size = -16384",
    "PRAGMA temp_store = MEMORY",
)


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Apply the settings and migrate the tables; raises ``StoreUnavailable`` for a newer version."""
    for setting in _SETTINGS:
        connection.execute(setting)
    use_write_ahead_log(connection, path)

    def version() -> int:
        if connection.execute(sql.IS_THERE).fetchone() is None:
            return 0
        row = connection.execute(sql.FACT, ("version",)).fetchone()
        there = int(row[0]) if row else 0
        if there > sql.VERSION:
            raise StoreUnavailable(
                f"{path}: was written by a newer version of this program (its mirror is {there}, ours "
                f"{sql.VERSION}); run that version, or remove the file"
            )
        return there

    migrate(connection, sql.STEPS, version, lambda step: connection.execute(sql.SET_FACT, ("version", step)).close())


def has_grown(path: Path) -> bool:
    """Return whether the file's log is worth a checkpoint."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size >= LOG_BYTES
    except OSError:
        return False


def checkpoint_wal(connection: sqlite3.Connection) -> None:
    """Checkpoint the log; it takes some fsyncs."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").close()
