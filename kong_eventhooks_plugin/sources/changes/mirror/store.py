"""The mirror's rows, by name. Everything here runs in the mirror's thread, and what writes inside a transaction.

Limits: ``NAMESAKES`` rows that one name may mean, ``REFERRING`` entities that refer to one and are looked at; what is
past them is left to the next round.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec

from kong_eventhooks_plugin.kong.admin_api.entities import EntityReference, MaskedEntity
from kong_eventhooks_plugin.sources.changes.mirror import statements as sql
from kong_eventhooks_plugin.sources.changes.mirror.packing import encode, hidden_of
from kong_eventhooks_plugin.sources.changes.mirror.pairing import PairCandidate
from kong_eventhooks_plugin.sources.changes.mirror.rows import Row, Tombstone, Writing, columns
from kong_eventhooks_plugin.sources.changes.mirror.snapshot import Snapshot
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
    """A state that a round told."""

    number: int
    rules: bytes
    shown: bytes
    digests: bytes | None

    def hidden(self) -> MaskedEntity:
        """Return the state itself."""
        return hidden_of(self.shown, self.digests)


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
    """Reads and writes rows over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute
        self._run_many = connection.executemany
        self._connection = connection

    @contextmanager
    def transaction(self) -> Iterator[int]:
        """Begin; give the revision that it writes; commit, or roll back where something is raised."""
        with transaction(self._connection):
            yield self._run(sql.NEXT_REV).fetchone()[0]

    # facts

    def fact(self, name: str) -> Any:
        """Return a fact; None where it is not there."""
        row = self._run(sql.FACT, (name,)).fetchone()
        return row[0] if row else None

    def set_fact(self, name: str, value: object) -> None:
        """Keep a fact."""
        self._run(sql.SET_FACT, (name, value))

    def listed_at(self, schema: str) -> float | None:
        """Return when the schema's list was last complete; None: it never was."""
        row = self._run(sql.LISTED, (schema,)).fetchone()
        return row[0] if row else None

    def set_listed(self, schema: str, at: float) -> None:
        """Keep that the schema's list was complete."""
        self._run(sql.SET_LISTED, (schema, at))

    # entities that are there

    def by_id(self, schema: str, entity: str) -> Row | None:
        """Return the row of that id."""
        return _row(self._run(sql.ROW_BY_ID, (schema, entity)).fetchone())

    def by_number(self, number: int) -> Row | None:
        """Return the row of that number."""
        return _row(self._run(sql.ROW_BY_N, (number,)).fetchone())

    def by_numbers(self, numbers: Sequence[int]) -> dict[int, Row]:
        """Return the rows of those numbers that are there, by number."""
        rows = self._run(f"{sql.ROWS_BY_N}({_marks(numbers)})", numbers)
        return {row[0]: Row(*row) for row in rows}

    def by_name(self, schema: str, name: int) -> list[Row]:
        """Return the rows that the name may mean."""
        return [Row(*row) for row in self._run(sql.ROWS_BY_NAME, (name, schema, NAMESAKES))]

    def names_of(self, number: int) -> tuple[int, ...]:
        """Return the row's names."""
        return tuple(row[0] for row in self._run(sql.NAMES_OF, (number,)))

    def refers(self, number: int, schema: str, entity: str) -> bool:
        """Tell whether the row refers to that entity."""
        return self._run(sql.REFERS, (number, schema, entity)).fetchone() is not None

    def referring(self, schema: str, entity: str) -> list[Referring]:
        """Return what refers to an entity."""
        return [Referring(*row) for row in self._run(sql.REFERENCES_TO, (entity, schema, REFERRING))]

    def referred(self, schema: str, entities: Sequence[str]) -> set[str]:
        """Return those of the entities that something refers to."""
        return {row[0] for row in self._run(f"{sql.REFERRED}({_marks(entities)})", (schema, *entities))}

    def put(self, image: Snapshot, writing: Writing, number: int | None = None) -> None:
        """Write a state, over the row of that number or as a new one; a tombstone goes."""
        if number is None:
            self.put_new([(image, writing)])
            self._run(sql.DROP_TOMBSTONE, (image.schema, image.id))
        else:
            self.put_over([(number, image, writing)])

    def put_over(self, states: Sequence[tuple[int, Snapshot, Writing]]) -> None:
        """Write states over the rows of those numbers; tombstones go."""
        self._run_many(sql.SET_ROW, [(*columns(image, writing), number) for number, image, writing in states])
        self._run_many(sql.DROP_TOMBSTONE, [(image.schema, image.id) for _, image, _ in states])
        moved = self._rows_with_new_words(states)
        self._run_many(sql.DROP_NAMES, [(number,) for number in moved])
        self._run_many(sql.DROP_REFERENCES, [(number,) for number in moved])
        self._add_words([(number, image) for number, image, _ in states if number in moved])

    def _rows_with_new_words(self, states: Sequence[tuple[int, Snapshot, Writing]]) -> set[int]:
        """Return the numbers of the rows whose names or references change: to look costs less than to write all."""
        numbers = [number for number, _, _ in states]
        there: set[tuple[Any, ...]] = set()
        for statement in (sql.NAMES_OF_ROWS, sql.REFERENCES_OF_ROWS):
            there.update(self._run(f"{statement}({_marks(numbers)})", numbers))
        wanted: set[tuple[Any, ...]] = {(number, name) for number, image, _ in states for name in image.names}
        wanted.update((number, *reference) for number, image, _ in states for reference in image.references)
        return {word[0] for word in there ^ wanted}

    def put_new(self, states: Sequence[tuple[Snapshot, Writing]]) -> range:
        """Write states of entities that are neither rows nor tombstones; return the rows' numbers."""
        first = self._run(sql.NEXT_N).fetchone()[0]
        self._run_many(sql.ADD_ROW, [(number, *columns(*state)) for number, state in enumerate(states, first)])
        self._add_words([(number, image) for number, (image, _) in enumerate(states, first)])
        return range(first, first + len(states))

    def _add_words(self, images: Sequence[tuple[int, Snapshot]]) -> None:
        """Write names and references."""
        self._run_many(sql.ADD_NAME, [(number, name) for number, image in images for name in image.names])
        references = [(number, *reference) for number, image in images for reference in image.references]
        self._run_many(sql.ADD_REFERENCE, references)

    # what rounds told

    def record_published(self, image: Snapshot, high: float) -> None:
        """Keep that a round told a state, which it listed until ``high``."""
        self._run(sql.ADD_PUBLISHED, (image.schema, image.id, image.rules, high, image.shown, image.digests))

    def published_of(self, schema: str, entity: str, after: float) -> list[PublishedState]:
        """Return the states of an entity that rounds told from lists that ended after ``after``, oldest first."""
        return [PublishedState(*row) for row in self._run(sql.PUBLISHED_OF, (schema, entity, after))]

    def claim(self, number: int) -> None:
        """Take one of them away: an observation claimed it."""
        self._run(sql.CLAIM, (number,))

    def drop_published_before(self, high: float) -> None:
        """Forget those that nobody will claim any more."""
        self._run(sql.DROP_OLD_PUBLISHED, (high,))

    # entities that go

    def drop(self, row: Row, tombstone: Tombstone) -> None:
        """Take a row away and leave a tombstone."""
        self.drop_silently(row)
        self._run(sql.SET_TOMBSTONE, (row.schema, row.id, *tombstone))

    def drop_silently(self, row: Row) -> None:
        """Take a row away; no tombstone."""
        self._run(sql.DROP_ROW, (row.n,))
        self._run(sql.DROP_NAMES, (row.n,))
        self._run(sql.DROP_REFERENCES, (row.n,))

    # tombstones and requests

    def tombstone(self, schema: str, entity: str) -> Tombstone | None:
        """Return the tombstone of that id."""
        row = self._run(sql.TOMBSTONE, (schema, entity)).fetchone()
        return Tombstone(*row) if row else None

    def add_tombstone(self, schema: str, entity: str, tombstone: Tombstone) -> None:
        """Leave a tombstone of what was no row."""
        self._run(sql.SET_TOMBSTONE, (schema, entity, *tombstone))

    def drop_tombstones_before(self, high: float) -> None:
        """Forget old tombstones."""
        self._run(sql.DROP_OLD_TOMBSTONES, (high,))

    def is_new_request(self, request: str, at: float) -> bool:
        """Keep a request; False where it was there."""
        return self._run(sql.ADD_REQUEST, (request, at)).rowcount > 0

    def drop_requests_before(self, at: float) -> None:
        """Forget old requests."""
        self._run(sql.DROP_OLD_REQUESTS, (at,))

    # the outbox

    def append_outbox(self, changes: Iterable[EntityChange]) -> None:
        """Put changes at the outbox's end."""
        self._run_many(sql.ADD_TO_OUTBOX, [(change.identity, encode(change)) for change in changes])

    def pending(self, limit: int) -> list[EntityChange]:
        """Return the oldest changes of the outbox."""
        return [_change(row[0]) for row in self._run(sql.PENDING, (limit,))]

    def mark_published(self, identities: Sequence[str]) -> None:
        """Take changes out of the outbox."""
        self._run_many(sql.REMOVE_FROM_OUTBOX, [(identity,) for identity in identities])

    def outbox(self) -> int:
        """Return how many changes wait in the outbox."""
        return self._run(sql.OUTBOX).fetchone()[0] or 0

    # for rounds

    def tombstoned(self, schema: str, ids: Sequence[str]) -> set[str]:
        """Return those of the entities that have tombstones."""
        return {row[0] for row in self._run(f"{sql.TOMBSTONES}({_marks(ids)})", (schema, *ids))}

    def snapshot(self, row: Row) -> Snapshot:
        """Return the state of a row."""
        references = (EntityReference(*each) for each in self._run(sql.REFERENCES_OF, (row.n,)))
        return Snapshot(
            row.schema, row.id, row.workspace, row.rules, row.content, row.natural, self.names_of(row.n),
            tuple(references), row.shown, row.digests,
        )  # fmt: skip

    def known_states(self, schema: str, ids: Sequence[str]) -> dict[str, KnownRow]:
        """Return what is known of those of the entities that are rows, by id."""
        rows = self._run(f"{sql.KNOWN_STATES}({_marks(ids)})", (schema, *ids))
        return {row[0]: KnownRow(*row[1:]) for row in rows}

    def ids(self, schema: str, workspace: str | None) -> Iterator[tuple[str, int]]:
        """Yield (id, number) of the schema's rows that may be in a workspace; nothing is to be written meanwhile."""
        yield from self._run(sql.IDS, (schema, workspace))

    def ids_after(self, schema: str, entity: str, limit: int) -> list[tuple[str, int]]:
        """Return (id, number) of the schema's rows in the order of their ids, behind ``entity``."""
        return self._run(sql.IDS_AFTER, (schema, entity, limit)).fetchall()

    def candidates_after(self, schema: str, entity: str, limit: int) -> list[tuple[str, PairCandidate]]:
        """Return (id, candidate) of the schema's rows in the order of their ids, behind ``entity``."""
        rows = self._run(sql.CANDIDATES_AFTER, (schema, entity, limit))
        return [(row[0], PairCandidate(*row[1:])) for row in rows]

    def forget(self) -> None:
        """Drop all that is known; a round that is under way will not be judged."""
        self._run(sql.NEXT_EPOCH)
        for statement in sql.FORGET:
            self._run(statement)


def _row(row: tuple[Any, ...] | None) -> Row | None:
    return None if row is None else Row(*row)


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
