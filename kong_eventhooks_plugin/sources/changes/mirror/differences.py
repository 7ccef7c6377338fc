"""What a round found to differ, kept on disk until all lists are there: after a reload it can be every entity.

A file without a name in the data directory: it is gone with the process, whatever ends it, and a round that was cut
short leaves nothing. Nothing is flushed, no log is written, and the mirror's own file is not locked meanwhile.

Limits: none of its own but the disk's; in memory it takes its page cache, 2 MB. A disk that is full ends the round.
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
  found BLOB NOT NULL,          -- a Found and its Window
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
    """An entity in a list; ``number`` and ``rev`` are the row's that it differs from, None where there is none."""

    image: Snapshot
    number: int | None = None
    rev: int | None = None


class StoredDifference(NamedTuple):
    """A ``Difference`` as it was kept; ``window`` is the page's."""

    i: int
    image: Snapshot
    number: int | None
    rev: int | None
    window: TimeWindow


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(tuple[Difference, TimeWindow]).decode


class Differences:
    """Holds them by schema; raises ``StoreUnavailable`` where the disk fails."""

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
            raise StoreUnavailable(f"{folder}: a round's findings cannot be kept: {error}") from error

    def close(self) -> None:
        """Let them go."""
        self._connection.close()

    def __del__(self) -> None:
        """Let go of what nobody could end: whoever waited for the thread that made it was cancelled meanwhile."""
        if hasattr(self, "_connection"):
            self._connection.close()

    def add(self, kind: DifferenceKind, found: Sequence[Difference], window: TimeWindow) -> int:
        """Keep what a page's comparison found; return how many that were.

        Where there is one of an entity it stays: two workspaces can list it, and one counts.
        """
        if not found:
            return 0
        # One by one they would cost several times as much.
        self._connection.execute("BEGIN")
        try:
            return self._connection.executemany(_ADD, [_row(kind, each, window) for each in found]).rowcount
        finally:
            self._connection.execute("COMMIT")

    def batch(self, schema: str, kind: DifferenceKind, after: int, limit: int) -> list[StoredDifference]:
        """Return the next findings behind the number ``after``, in the order of the list."""
        return [_finding(row) for row in self._connection.execute(_BATCH, (schema, kind, after, limit))]

    def some(self, numbers: Sequence[int]) -> dict[int, StoredDifference]:
        """Return the findings of those numbers, by number."""
        rows = self._connection.execute(f"{_SOME}({_marks(numbers)})", numbers)
        return {row[0]: _finding(row) for row in rows}

    def created(self, schema: str) -> Iterator[PairCandidate]:
        """Yield what is needed to pair the schema's created entities with those that are gone."""
        for row in self._connection.execute(_CREATED, (schema,)):
            yield PairCandidate(*row)

    def created_ids(self, schema: str, workspace: str | None, limit: int) -> list[str]:
        """Return the ids of up to ``limit`` created entities."""
        return [row[0] for row in self._connection.execute(_CREATED_IDS, (schema, workspace, limit))]

    def drop(self, numbers: Sequence[int]) -> None:
        """Forget findings."""
        self._connection.execute(f"{_DROP}({_marks(numbers)})", numbers)

    def drop_schema(self, schema: str) -> None:
        """Forget a schema's findings: its list failed."""
        self._connection.execute(_DROP_SCHEMA, (schema,))


def _row(kind: DifferenceKind, found: Difference, window: TimeWindow) -> tuple[object, ...]:
    image = found.image
    return kind, image.schema, image.id, image.workspace, image.natural, image.content, _pack((found, window))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _finding(row: tuple[int, bytes]) -> StoredDifference:
    found, window = _unpack(row[1])
    return StoredDifference(row[0], *found, window)
