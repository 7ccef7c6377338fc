"""Maps SQLite's exceptions to ours; nothing else does."""

import sqlite3
from pathlib import Path

from kong_eventhooks_plugin.errors import EventHooksError, QueueError, StoreUnavailable
from kong_eventhooks_plugin.storage.sqlite import code_of

_DATA_ERRORS = frozenset({
    sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE,
})  # fmt: skip


def is_bug(error: Exception) -> bool:
    return not isinstance(error, EventHooksError | sqlite3.Error)


def to_queue_error(error: Exception, path: Path) -> EventHooksError:
    """Return our exception for ``error``.

    Ours stay as they are. An error of the store (disk, lock, file) becomes ``StoreUnavailable``; any other comes
    from the operation's own data and becomes a plain ``QueueError``.
    """
    if isinstance(error, EventHooksError):
        return error
    if isinstance(error, sqlite3.Error) and code_of(error) not in _DATA_ERRORS:
        return StoreUnavailable(f"{path}: {error}")
    return QueueError(f"the store cannot keep this: {type(error).__name__}: {error}")
