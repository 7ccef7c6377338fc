"""The mirror's rows, by name. Everything here runs in the mirror's thread, and what writes inside a transaction.

Limits: ``NAMESAKES`` rows that one name may mean, ``REFERRING`` entities that refer to one and are read; what exceeds
them is left to the next reconciliation.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec

from kong_eventhooks_plugin.kong.admin_api.entities import EntityReference, MaskedEntity
from kong_eventhooks_plugin.sources.changes.mirror import statements as sql
from kong_eventhooks_plugin.sources.changes.mirror.rows import Row, Tombstone, Writing, columns
from kong_eventhooks_plugin.sources.changes.mirror.snapshot import Snapshot, encode, unpacked
from kong_eventhooks_plugin.sources.changes.model import EntityChange
from kong_eventhooks_plugin.storage.sqlite import transaction

NAMESAKES: Final = 100
REFERRING: Final = 5_000

_change: Final = msgspec.json.Decoder(EntityChange).decode


class Referring(NamedTuple):
    """An entity that refers to another by ``field``."""

    number: int
    field: str
    on_delete: str | None


class PublishedState(NamedTuple):
    """A state that a reconciliation reported."""

    number: int
    rules: bytes
    shown: bytes
    digests: bytes | None

    def masked(self) -> MaskedEntity:
        return unpacked(self.shown, self.digests)


class KnownRow(NamedTuple):
    """What a page is compared with: the part of a row that is needed for every entity."""

    number: int
    rev: int
    route_rev: int
    workspace: str | None
    content: bytes
    others: bytes | None
    high: float


class Store:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute
        self._run_many = connection.executemany
        self._connection = connection

    @contextmanager
    def transaction(self) -> Iterator[int]:
        """Begin; yield the revision that it writes; commit, or roll back where something is raised."""
        with transaction(self._connection):
            yield self._run(sql.NEXT_REV).fetchone()[0]

    # facts

    def fact(self, name: str) -> Any:
        row = self._run(sql.FACT, (name,)).fetchone()
        return row[0] if row else None

    def set_fact(self, name: str, value: object) -> None:
        self._run(sql.SET_FACT, (name, value))

    def listed_at(self, schema: str) -> float | None:
        """Return when the schema's list was last complete; None: it never was."""
        row = self._run(sql.LISTED, (schema,)).fetchone()
        return row[0] if row else None

    def known_at(self, row: Row) -> float:
        """Return when the row's state was last known to be Kong's."""
        return max(row.high, self.listed_at(row.schema) or 0.0)

    def set_listed(self, schema: str, at: float) -> None:
        self._run(sql.SET_LISTED, (schema, at))

    # rows

    def by_id(self, schema: str, entity: str) -> Row | None:
        return _row(self._run(sql.ROW_BY_ID, (schema, entity)).fetchone())

    def by_number(self, number: int) -> Row | None:
        return _row(self._run(sql.ROW_BY_N, (number,)).fetchone())

    def by_numbers(self, numbers: Sequence[int]) -> dict[int, Row]:
        """Return the rows of those numbers that exist, by number."""
        rows = self._run(f"{sql.ROWS_BY_N}({marks(numbers)})", numbers)
        return {row[0]: Row(*row) for row in rows}

    def by_name(self, schema: str, name: int) -> list[Row]:
        """Return the rows that the name may mean."""
        return [Row(*row) for row in self._run(sql.ROWS_BY_NAME, (name, schema, NAMESAKES))]

    def refers(self, number: int, schema: str, entity: str) -> bool:
        return self._run(sql.REFERS, (number, schema, entity)).fetchone() is not None

    def referring(self, schema: str, entity: str) -> list[Referring]:
        return [Referring(*row) for row in self._run(sql.REFERENCES_TO, (entity, schema, REFERRING))]

    def referred(self, schema: str, entities: Sequence[str]) -> set[str]:
        """Return those of the entities that something refers to."""
        return {row[0] for row in self._run(f"{sql.REFERRED}({marks(entities)})", (schema, *entities))}

    def snapshot(self, row: Row) -> Snapshot:
        references = (EntityReference(*each) for each in self._run(sql.REFERENCES_OF, (row.n,)))
        names = (name for (name,) in self._run(sql.NAMES_OF, (row.n,)))
        return Snapshot(
            row.schema, row.id, row.workspace, row.rules, row.content, row.natural, tuple(names),
            tuple(references), row.shown, row.digests,
        )  # fmt: skip

    def known_states(self, schema: str, ids: Sequence[str]) -> dict[str, KnownRow]:
        """Return what is known of those of the entities that are rows, by id."""
        rows = self._run(f"{sql.KNOWN_STATES}({marks(ids)})", (schema, *ids))
        return {row[0]: KnownRow(*row[1:]) for row in rows}

    def ids(self, schema: str, workspace: str | None) -> Iterator[tuple[str, int]]:
        """Yield (id, number) of the schema's rows that may be in a workspace; write nothing meanwhile."""
        yield from self._run(sql.IDS, (schema, workspace))

    def ids_after(self, schema: str, entity: str, limit: int) -> list[tuple[Any, ...]]:
        """Return (id, number) of the schema's rows in the order of their ids, behind ``entity``."""
        return self._run(sql.IDS_AFTER, (schema, entity, limit)).fetchall()

    def candidates_after(self, schema: str, entity: str, limit: int) -> list[tuple[Any, ...]]:
        """Return the same, each row continued as a ``PairCandidate``."""
        return self._run(sql.CANDIDATES_AFTER, (schema, entity, limit)).fetchall()

    def put(self, snapshot: Snapshot, writing: Writing, number: int | None = None) -> None:
        """Write a state, over the row of that number or as a new one; drop its tombstone."""
        if number is None:
            self.put_new([(snapshot, writing)])
            self._run(sql.DROP_TOMBSTONE, (snapshot.schema, snapshot.id))
        else:
            self.put_over([(number, snapshot, writing)])

    def put_over(self, states: Sequence[tuple[int, Snapshot, Writing]]) -> None:
        """Write states over the rows of those numbers; drop their tombstones."""
        self._run_many(sql.SET_ROW, [(*columns(snapshot, writing), number) for number, snapshot, writing in states])
        self._run_many(sql.DROP_TOMBSTONE, [(snapshot.schema, snapshot.id) for _, snapshot, _ in states])
        moved = self._rows_with_new_words(states)
        self._run_many(sql.DROP_NAMES, [(number,) for number in moved])
        self._run_many(sql.DROP_REFERENCES, [(number,) for number in moved])
        self._add_words([(number, snapshot) for number, snapshot, _ in states if number in moved])

    def _rows_with_new_words(self, states: Sequence[tuple[int, Snapshot, Writing]]) -> set[int]:
        """Return the numbers of the rows whose names or references change: reading costs less than writing all."""
        numbers = [number for number, _, _ in states]
        there: set[tuple[Any, ...]] = set()
        for statement in (sql.NAMES_OF_ROWS, sql.REFERENCES_OF_ROWS):
            there.update(self._run(f"{statement}({marks(numbers)})", numbers))
        wanted: set[tuple[Any, ...]] = {(number, name) for number, snapshot, _ in states for name in snapshot.names}
        wanted.update((number, *reference) for number, snapshot, _ in states for reference in snapshot.references)
        return {word[0] for word in there ^ wanted}

    def put_new(self, states: Sequence[tuple[Snapshot, Writing]]) -> range:
        """Write states of entities that are neither rows nor tombstones; return the rows' numbers."""
        first = self._run(sql.NEXT_N).fetchone()[0]
        self._run_many(sql.ADD_ROW, [(number, *columns(*state)) for number, state in enumerate(states, first)])
        self._add_words([(number, snapshot) for number, (snapshot, _) in enumerate(states, first)])
        return range(first, first + len(states))

    def _add_words(self, snapshots: Sequence[tuple[int, Snapshot]]) -> None:
        self._run_many(sql.ADD_NAME, [(number, name) for number, snapshot in snapshots for name in snapshot.names])
        references = [(number, *reference) for number, snapshot in snapshots for reference in snapshot.references]
        self._run_many(sql.ADD_REFERENCE, references)

    def drop(self, row: Row, tombstone: Tombstone) -> None:
        """Remove a row and leave a tombstone."""
        for statement in (sql.DROP_ROW, sql.DROP_NAMES, sql.DROP_REFERENCES):
            self._run(statement, (row.n,))
        self.add_tombstone(row.schema, row.id, tombstone)

    # states that reconciliations reported

    def record_published(self, snapshot: Snapshot, high: float) -> None:
        """Keep that a reconciliation reported a state, which it listed until ``high``."""
        self._run(
            sql.ADD_PUBLISHED, (snapshot.schema, snapshot.id, snapshot.rules, high, snapshot.shown, snapshot.digests)
        )

    def published_of(self, schema: str, entity: str, after: float) -> list[PublishedState]:
        """Return an entity's reported states from lists that ended after ``after``, oldest first."""
        return [PublishedState(*row) for row in self._run(sql.PUBLISHED_OF, (schema, entity, after))]

    def claim(self, number: int) -> None:
        """Remove a reported state: an observation claimed it."""
        self._run(sql.CLAIM, (number,))

    # tombstones and requests

    def tombstone(self, schema: str, entity: str) -> Tombstone | None:
        row = self._run(sql.TOMBSTONE, (schema, entity)).fetchone()
        return Tombstone(*row) if row else None

    def tombstoned(self, schema: str, ids: Sequence[str]) -> set[str]:
        """Return those of the entities that have tombstones."""
        return {row[0] for row in self._run(f"{sql.TOMBSTONES}({marks(ids)})", (schema, *ids))}

    def add_tombstone(self, schema: str, entity: str, tombstone: Tombstone) -> None:
        self._run(sql.SET_TOMBSTONE, (schema, entity, *tombstone))

    def is_new_request(self, request: str, at: float) -> bool:
        """Keep a request; False where it was kept before."""
        return self._run(sql.ADD_REQUEST, (request, at)).rowcount > 0

    def drop_older(self, at: float) -> None:
        """Forget tombstones and reported states from before ``at``."""
        for statement in sql.DROP_OLDER:
            self._run(statement, (at,))

    def drop_requests(self, before: float) -> None:
        self._run(sql.DROP_REQUESTS, (before,))

    # identities

    def count_identity(self, identity: bytes, at: float) -> int:
        """Count a reported identity; return how often it was reported before."""
        before: int = self._run(sql.COUNT_IDENTITY, (identity, at)).fetchone()[0]
        return before

    def identity_count(self, identity: bytes) -> tuple[int, float]:
        """Return how often an identity was reported, and of when the last time is."""
        row = self._run(sql.IDENTITY_COUNT, (identity,)).fetchone()
        return row or (0, 0.0)

    def drop_identities(self, before: float) -> None:
        self._run(sql.DROP_IDENTITIES, (before,))

    # the outbox

    def append_outbox(self, changes: Iterable[EntityChange]) -> None:
        self._run_many(sql.ADD_TO_OUTBOX, [(change.identity, encode(change)) for change in changes])

    def pending(self, limit: int) -> list[EntityChange]:
        """Return the oldest changes of the outbox."""
        return [_change(row[0]) for row in self._run(sql.PENDING, (limit,))]

    def mark_published(self, identities: Sequence[str]) -> None:
        self._run_many(sql.REMOVE_FROM_OUTBOX, [(identity,) for identity in identities])

    def outbox(self) -> int:
        return self._run(sql.OUTBOX).fetchone()[0] or 0

    def forget(self) -> None:
        """Drop all that is known; a scan that is under way will not be applied."""
        self._run(sql.NEXT_EPOCH)
        for statement in sql.FORGET:
            self._run(statement)


def _row(row: tuple[Any, ...] | None) -> Row | None:
    return None if row is None else Row(*row)


def marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
