"""What every SQLite file needs: creating, opening, a write-ahead log, migrations, errors.

A file is created with mode 0600 (SQLite gives its -wal and -shm companions the same mode), because it holds what the
gateway's clients did. An existing file keeps its mode. A link, and a directory of somebody else, are refused: a store
of root must not be written where that user leads it (SQLite itself follows no link to a -wal or -shm file).
"""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

import structlog

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.errors import StoreUnavailable

_PRIMARY_CODE: Final = 0xFF
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})

_HEADER: Final = (
    "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master) "
    "FROM pragma_application_id, pragma_user_version"
)


log = structlog.get_logger()


def _null(_value: None) -> None:
    """Adapt None to itself."""


# Python's sqlite3 asks for an adapter of these two, and makes an exception where there is none: microseconds each.
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), _null)


def code_of(error: BaseException) -> int | None:
    """Return SQLite's primary result code; None for any other error."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY_CODE


def is_busy(error: BaseException) -> bool:
    """Return whether the only obstacle is another connection's lock."""
    return code_of(error) in _BUSY


def is_damaged(error: BaseException) -> bool:
    return code_of(error) in _DAMAGED


def create(path: Path, *, with_directory: bool = False) -> None:
    """Create the file and, ``with_directory``, its directory where the parent exists. Raises ``StoreUnavailable``.

    An existing file is not opened: opening and closing a file that SQLite has open in this process would release its
    locks (POSIX).
    """
    folder = path.parent
    try:
        if with_directory and not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
        with files.own_directory(folder) as directory:
            try:
                os.close(os.open(path.name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory))
            except FileExistsError:
                if not stat.S_ISREG(os.stat(path.name, dir_fd=directory, follow_symlinks=False).st_mode):
                    raise StoreUnavailable(
                        f"{path}: is a link or no regular file; move the file here, or link the directory instead"
                    ) from None
                return
            # The name must survive a power cut as well as the contents; SQLite syncs the directory for its journal
            # alone.
            os.fsync(directory)
    except files.ForeignDirectory as error:
        raise StoreUnavailable(str(error.strerror)) from error
    except OSError as error:
        if with_directory and isinstance(error, FileNotFoundError):
            raise StoreUnavailable(f"{path}: the directory {folder.parent} does not exist; create it first") from error
        raise StoreUnavailable(f"{path}: cannot be created: {error.strerror}") from error


@contextmanager
def connection_to(path: Path, patience: float, mode: Literal["rw", "ro"] = "rw") -> Iterator[sqlite3.Connection]:
    """Yield a new connection, which stays open unless the block raises.

    A statement waits ``patience`` seconds for another connection's lock. Statements are their own transactions, and any
    thread may use the connection, one at a time.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {int(patience * 1_000)}")
        yield connection
    except BaseException:
        connection.close()
        raise


def use_write_ahead_log(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to WAL mode; raises ``StoreUnavailable`` where the file system does not support it."""
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreUnavailable(f"{path}: this file system cannot keep a write-ahead log; choose a local disk")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Begin with the write lock; commit, or roll back where the block raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


class Format(NamedTuple):
    """What a file's header says: whose it is (``file`` prints it, too), and the newest version of its schema."""

    application_id: int
    version: int

    def version_of(self, connection: sqlite3.Connection, path: Path) -> int:
        """Return the schema's version, 0 for a file without any table. Refuses what is not ours or newer."""
        # One statement, one view: another process may be creating it right now.
        application, version, tables = connection.execute(_HEADER).fetchone()
        if application != self.application_id and (application or version or tables):
            raise StoreUnavailable(f"{path}: belongs to another program; move it away, or choose another directory")
        if version > self.version:
            raise StoreUnavailable(
                f"{path}: was written by a newer version of this program (its schema is {version}, ours "
                f"{self.version}); run that version, or choose another directory"
            )
        return int(version)

    def migrate(self, connection: sqlite3.Connection, path: Path, steps: Mapping[int, str]) -> None:
        """Bring the schema to our version; two processes may try at once."""

        def set_version(step: int) -> None:
            connection.execute(f"PRAGMA user_version = {step}")
            connection.execute(f"PRAGMA application_id = {self.application_id}")

        was = self.version_of(connection, path)
        if was < self.version:
            migrate(connection, steps, lambda: self.version_of(connection, path), set_version)
            if was > 0:
                log.info("store_upgraded", file=str(path), was=was, now=self.version)


def migrate(
    connection: sqlite3.Connection,
    steps: Mapping[int, str],
    version: Callable[[], int],
    set_version: Callable[[int], None],
) -> None:
    """Migrate the schema to the last of ``steps`` (scripts by the version that they lead to), all or nothing.

    Two processes may migrate at once: ``version`` is called inside the transaction.
    """
    with transaction(connection):
        for step in range(version() + 1, max(steps) + 1):
            for statement in statements_of(steps[step]):
                connection.execute(statement)
            set_version(step)


def statements_of(script: str) -> Iterator[str]:
    """Yield the statements of a script one by one, so that they can run inside one transaction.

    Comments stay: SQLite stores those inside a CREATE with the schema.
    """
    statement = ""
    for line in script.splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
