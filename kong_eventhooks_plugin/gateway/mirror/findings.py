"""What a round found to differ, kept on disk until all lists are there: a first round finds every entity.

A file without a name in the data directory: it is gone with the process, whatever ends it, and a round that was cut
short leaves nothing. Nothing is flushed, no log is written, and the mirror's own file is not locked meanwhile.

Limits: none of its own but the disk's; in memory it takes its page cache, 2 MB. A disk that is full ends the round.
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.gateway.entities import Reference
from kong_eventhooks_plugin.gateway.mirror.image import Image
from kong_eventhooks_plugin.gateway.mirror.judge import Window
from kong_eventhooks_plugin.gateway.mirror.packing import encode
from kong_eventhooks_plugin.gateway.mirror.pairing import Candidate

Kind = Literal["created", "differs"]

_TABLE: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA cache_size = -2048;
CREATE TABLE found (
  i INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  number INTEGER,
  rev INTEGER,
  low REAL NOT NULL,
  high REAL NOT NULL,
  schema TEXT NOT NULL,
  id TEXT NOT NULL,
  workspace TEXT,
  rules BLOB NOT NULL,
  content BLOB NOT NULL,
  natural BLOB,
  names BLOB NOT NULL,
  refs BLOB NOT NULL,
  shown BLOB NOT NULL,
  digests BLOB,
  UNIQUE (schema, id)
);
CREATE INDEX found_in_turn ON found (schema, kind);
"""
_ADD: Final = f"INSERT OR IGNORE INTO found VALUES (NULL, {', '.join('?' * 15)})"  # noqa: S608  marks, no values
_BATCH: Final = (
    "SELECT * FROM found INDEXED BY found_in_turn WHERE schema = ? AND kind = ? AND i > ? ORDER BY i LIMIT ?"
)
_ONE: Final = "SELECT * FROM found WHERE i = ?"
_CREATED: Final = "SELECT i, natural, content FROM found WHERE schema = ? AND kind = 'created'"
_CREATED_IDS: Final = "SELECT id FROM found WHERE schema = ? AND kind = 'created' AND workspace IS ? LIMIT ?"
_DROP: Final = "DELETE FROM found WHERE i = ?"
_DROP_SCHEMA: Final = "DELETE FROM found WHERE schema = ?"

_names: Final = msgspec.json.Decoder(tuple[int, ...]).decode
_references: Final = msgspec.json.Decoder(tuple[tuple[str, str, str, str | None], ...]).decode


class Finding(NamedTuple):
    """An entity in a list that the mirror does not know (``created``), or knows with another content (``differs``).

    ``number`` and ``rev`` are the row's that it was compared with; ``window`` the page's.
    """

    i: int
    kind: Kind
    number: int | None
    rev: int | None
    window: Window
    image: Image


class Findings:
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

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what is added meanwhile at once: each by itself costs several times as much."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("COMMIT")

    def add(self, kind: Kind, image: Image, window: Window, number: int | None = None, rev: int | None = None) -> int:
        """Keep a finding; return 0 where there is one of that entity: two workspaces can list it, and one counts."""
        cursor = self._connection.execute(
            _ADD,
            (
                kind, number, rev, *window, image.schema, image.id, image.workspace, image.rules, image.content,
                image.natural, encode(image.names), encode(image.references), image.shown, image.digests,
            ),
        )  # fmt: skip
        return cursor.rowcount

    def batch(self, schema: str, kind: Kind, after: int, limit: int) -> list[Finding]:
        """Return the next findings behind the number ``after``, in the order of the list."""
        return [_finding(row) for row in self._connection.execute(_BATCH, (schema, kind, after, limit))]

    def one(self, number: int) -> Finding:
        """Return the finding of that number."""
        return _finding(self._connection.execute(_ONE, (number,)).fetchone())

    def created(self, schema: str) -> Iterator[Candidate]:
        """Yield what is needed to pair the schema's created entities with those that are gone."""
        for row in self._connection.execute(_CREATED, (schema,)):
            yield Candidate(*row)

    def created_ids(self, schema: str, workspace: str | None, limit: int) -> list[str]:
        """Return the ids of up to ``limit`` created entities."""
        return [row[0] for row in self._connection.execute(_CREATED_IDS, (schema, workspace, limit))]

    def drop(self, numbers: Sequence[int]) -> None:
        """Forget findings."""
        self._connection.executemany(_DROP, [(number,) for number in numbers])

    def drop_schema(self, schema: str) -> None:
        """Forget a schema's findings: its list failed."""
        self._connection.execute(_DROP_SCHEMA, (schema,))


def _finding(row: tuple[Any, ...]) -> Finding:
    (
        i, kind, number, rev, low, high, schema, entity, workspace, rules, content, natural, names, references, shown,
        digests,
    ) = row  # fmt: skip
    image = Image(
        schema, entity, workspace, rules, content, natural, _names(names),
        tuple(Reference(*reference) for reference in _references(references)), shown, digests,
    )  # fmt: skip
    return Finding(i, kind, number, rev, Window(low, high), image)
