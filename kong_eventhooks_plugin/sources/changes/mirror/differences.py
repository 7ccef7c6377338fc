"""What a scan found to differ, kept on disk until all lists are complete: after a reload it can be every entity.

The file has no name in the data directory, so it ends with the process and an interrupted scan leaves nothing. Nothing
is flushed, no log is written, and the mirror's own file is not locked meanwhile.

Limits: the disk's; memory holds its page cache, 2 MB. A full disk fails the reconciliation.
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.sources.changes.mirror.ordering import TimeWindow
from kong_eventhooks_plugin.sources.changes.mirror.pairing import PairCandidate
from kong_eventhooks_plugin.sources.changes.mirror.snapshot import Snapshot
from kong_eventhooks_plugin.sources.changes.mirror.store import marks

DifferenceKind = Literal["created", "differs"]

_TABLE: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA cache_size = -2048;
CREATE TABLE found (
  i INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  schema TEXT NOT NULL,
  id TEXT NOT NULL,
  workspace TEXT,
  natural BLOB,
  content BLOB NOT NULL,
  found BLOB NOT NULL,          -- a Difference
  UNIQUE (schema, id)
);
CREATE INDEX found_in_turn ON found (schema, kind);
"""
_ADD: Final = f"INSERT OR IGNORE INTO found VALUES (NULL, {', '.join('?' * 7)})"  # noqa: S608  marks, no values
_BATCH: Final = (
    "SELECT i, found FROM found INDEXED BY found_in_turn WHERE schema = ? AND kind = ? AND i > ? ORDER BY i LIMIT ?"
)
_SOME: Final = "SELECT i, found FROM found WHERE i IN "
_CREATED: Final = "SELECT i, natural, content FROM found WHERE schema = ? AND kind = 'created'"
_CREATED_IDS: Final = "SELECT id FROM found WHERE schema = ? AND kind = 'created' AND workspace IS ? LIMIT ?"
_DROP: Final = "DELETE FROM found WHERE i IN "
_DROP_SCHEMA: Final = "DELETE FROM found WHERE schema = ?"


class Difference(NamedTuple):
    """An entity in a list; ``number`` and ``rev`` are those of the row that it differs from, if there is one.

    ``window`` is the page's.
    """

    snapshot: Snapshot
    window: TimeWindow
    number: int | None = None
    rev: int | None = None


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(Difference).decode


class Differences:
    """By schema; raises ``StoreUnavailable`` where the disk fails."""

    def __init__(self, folder: Path) -> None:
        try:
            handle, name = tempfile.mkstemp(prefix="round-", suffix=".db", dir=folder)
            os.close(handle)
            self._connection = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
            try:
                self._connection.executescript(_TABLE)
            finally:
                Path(name).unlink()
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"{folder}: a scan's differences cannot be kept: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def __del__(self) -> None:
        """Close what nobody could: the task that waited for the thread that made it was cancelled meanwhile."""
        if hasattr(self, "_connection"):
            self._connection.close()

    def add(self, kind: DifferenceKind, found: Sequence[Difference]) -> int:
        """Keep what a page's comparison found; return how many were new.

        The first of an entity stays: two workspaces can list it, and one counts.
        """
        if not found:
            return 0
        # One by one they would cost several times as much.
        self._connection.execute("BEGIN")
        try:
            return self._connection.executemany(_ADD, [_row(kind, each) for each in found]).rowcount
        finally:
            self._connection.execute("COMMIT")

    def batch(self, schema: str, kind: DifferenceKind, after: int, limit: int) -> dict[int, Difference]:
        """Return the next ones behind the number ``after``, by number, in the order of the list."""
        return self._found(_BATCH, (schema, kind, after, limit))

    def some(self, numbers: Sequence[int]) -> dict[int, Difference]:
        """Return those of the numbers, by number."""
        return self._found(f"{_SOME}({marks(numbers)})", numbers)

    def created(self, schema: str) -> Iterator[PairCandidate]:
        """Yield what pairs the schema's created entities with removed ones."""
        for row in self._connection.execute(_CREATED, (schema,)):
            yield PairCandidate(*row)

    def created_ids(self, schema: str, workspace: str | None, limit: int) -> list[str]:
        return [row[0] for row in self._connection.execute(_CREATED_IDS, (schema, workspace, limit))]

    def drop(self, numbers: Sequence[int]) -> None:
        self._connection.execute(f"{_DROP}({marks(numbers)})", numbers)

    def drop_schema(self, schema: str) -> None:
        self._connection.execute(_DROP_SCHEMA, (schema,))

    def _found(self, statement: str, values: Sequence[object]) -> dict[int, Difference]:
        return {number: _unpack(found) for number, found in self._connection.execute(statement, values)}


def _row(kind: DifferenceKind, found: Difference) -> tuple[object, ...]:
    snapshot = found.snapshot
    return (
        kind,
        snapshot.schema,
        snapshot.id,
        snapshot.workspace,
        snapshot.natural,
        snapshot.content,
        _pack(found),
    )
