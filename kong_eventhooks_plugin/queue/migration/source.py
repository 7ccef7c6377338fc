"""The SQLite file that is moved: read as one state, and never written.

A batch has at most ``BATCH`` events and ends at ``BATCH_BYTES`` bytes of data and answers; one event may have more.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import msgspec

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import EndpointHealth
from kong_eventhooks_plugin.queue.holders import running
from kong_eventhooks_plugin.queue.rows import hook_from
from kong_eventhooks_plugin.queue.sqlite.file import open_reader
from kong_eventhooks_plugin.storage.named_sql import named_statements

BATCH: Final = 500
BATCH_BYTES: Final = 4 << 20

Row = tuple[Any, ...]
SlotKey = tuple[int, str, str, bytes]
BEFORE_ALL: Final[SlotKey] = (0, "", "", b"")

SQL: Final = SimpleNamespace(
    **named_statements((resources.files("kong_eventhooks_plugin.queue.migration") / "source.sql").read_text("utf-8"))
)


class Batch(NamedTuple):
    """Events with everything of theirs, by the numbers of events and the ids of hooks. ``last`` is the last number."""

    last: int
    events: list[Row]
    deliveries: list[Row]
    attempts: list[Row]


class Counts(NamedTuple):
    """How much of each there is."""

    events: int = 0
    deliveries: int = 0
    attempts: int = 0
    suppression_states: int = 0
    api_hooks: int = 0
    endpoints: int = 0


class SourceFile:
    """Raises ``StoreUnavailable`` where the file cannot be read."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def fingerprint(self) -> str:
        """Return what names this file in this state."""
        return hashlib.sha256(msgspec.json.encode(self._rows(SQL.fingerprint)[0])).hexdigest()

    def last_event(self) -> int:
        return int(self._rows(SQL.last_event)[0][0])

    def events_until(self, last: int) -> int:
        """Return how many events have a number up to this one."""
        return int(self._rows(SQL.events_until, last)[0][0])

    def hooks(self) -> list[tuple[int, str]]:
        """Return the numbers and ids of all hooks that ever had an event."""
        return [(row[0], row[1]) for row in self._rows(SQL.hooks)]

    def api_hooks(self) -> list[Hook]:
        hooks = [hook_from(row[0]) for row in self._rows(SQL.definitions)]
        return [hook for hook in hooks if hook.origin.place == "api"]

    def endpoints(self) -> list[EndpointHealth]:
        return [EndpointHealth(*row) for row in self._rows(SQL.endpoints)]

    def slots(self, after: SlotKey = BEFORE_ALL) -> Iterator[list[Row]]:
        """Yield the states of on_change and snooze, ``BATCH`` at a time: the hook's id, then the state's columns."""
        while rows := self._rows(SQL.slots, *after, BATCH):
            yield [row[1:] for row in rows]
            after = (rows[-1][0], *rows[-1][2:5])

    def batches(self, after: int = 0) -> Iterator[Batch]:
        """Yield all events after a number, in order."""
        while sizes := self._rows(SQL.sizes, after, BATCH):
            last, room = after, BATCH_BYTES
            for n, size in sizes:
                if room <= 0:
                    break
                last, room = n, room - size
            rows = (self._rows(statement, after, last) for statement in (SQL.events, SQL.deliveries, SQL.attempts))
            yield Batch(last, *rows)
            after = last

    def counts(self) -> Counts:
        events, deliveries, attempts, states, endpoints = self._rows(SQL.count)[0]
        return Counts(events, deliveries, attempts, states, len(self.api_hooks()), endpoints)

    def _rows(self, statement: str, *values: object) -> list[Row]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error


@contextmanager
def source_file(path: Path) -> Iterator[SourceFile]:
    """Open the file. Raises ``StoreUnavailable``, also where a sidecar of this machine delivers from it."""
    connection = open_reader(path)
    try:
        leader = connection.execute(SQL.leader).fetchone()
        if leader is not None and running(leader[0]):
            raise StoreUnavailable(f"{path}: a sidecar delivers from it ({leader[0]}); stop that first")
        connection.execute("BEGIN")
        yield SourceFile(connection, path)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path}: {error}") from error
    finally:
        connection.close()
