"""The file ``gateway.db`` as a file: made, recognised, moved aside. The mirror and the notes have their tables in it.

A file that SQLite cannot read is kept beside as ``*.damaged`` (one of them: the latest), and told in the log.
"""

import os
import sqlite3
from pathlib import Path
from typing import Final

import structlog

from kong_eventhooks_plugin.errors import StoreUnavailable

_DAMAGES: Final = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
_PRIMARY_CODE: Final = 0xFF

log = structlog.get_logger()


def create(path: Path) -> None:
    """Make the file, readable by its owner alone; raises ``StoreUnavailable``.

    One that is there is not touched: to open and close a file that SQLite has open in this process would let go of
    SQLite's locks on it (POSIX).
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise StoreUnavailable(f"{path}: cannot be created: {error.strerror}") from error


def is_damage(error: BaseException) -> bool:
    """Tell whether an error of SQLite's says that the file cannot be read."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY_CODE in _DAMAGES


def file_number(path: Path) -> int | None:
    """Return the file system's number of the file; None where there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def move_aside(path: Path, why: str) -> None:
    """Keep the file, and its log, as ``*.damaged``; raises ``StoreUnavailable`` where that does not go."""
    aside = path.with_name(f"{path.name}.damaged")
    log.error("damaged file moved aside", path=str(path), to=str(aside), why=why)
    try:
        for companion in ("-wal", "-shm", ""):
            old = path.with_name(path.name + companion)
            if old.exists():
                old.replace(aside.with_name(aside.name + companion))
    except OSError as error:
        raise StoreUnavailable(f"{path}: is damaged and cannot be moved aside: {error.strerror}") from error
