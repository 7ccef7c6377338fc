"""Applies what complete lists differ in: reports the differences and brings the mirror up to the lists.

Schema by schema, parents before children, each in this order: entities under new ids (``pairing``), removed, different,
new. A reported change and the mirror's row are one transaction, a batch of entities long; a process that is killed
between two of them finds the rest in its next reconciliation.

Skipped is what the route touched since the scan began, and what was written since it was compared; it is counted as
``dropped``, and found by the next reconciliation.

Silence: new entities are not reported where their schema's list was never complete before; that it was is kept once all
of them are in the mirror, so an interrupted first reconciliation stays silent when it is run again. What differs from a
known state is reported even then. (Of a schema of which nothing was known ``scan`` has adopted them already.)

Limits: ``BATCH`` entities a transaction, so that the route's waits some milliseconds at most; ``OUTBOX`` pending
changes, past which it ends with ``QueueFull`` and a later reconciliation finds the rest; ``IDS_AT_ONCE`` rows that are
read at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar

from kong_eventhooks_plugin.errors import QueueFull
from kong_eventhooks_plugin.kong.admin_api.entities import EntityRules
from kong_eventhooks_plugin.model.operation import Operation
from kong_eventhooks_plugin.sources.changes.mirror import ordering
from kong_eventhooks_plugin.sources.changes.mirror.differences import Difference, DifferenceKind
from kong_eventhooks_plugin.sources.changes.mirror.identity import Identities
from kong_eventhooks_plugin.sources.changes.mirror.normalize import comparable
from kong_eventhooks_plugin.sources.changes.mirror.ordering import ABSENT, TimeWindow
from kong_eventhooks_plugin.sources.changes.mirror.pairing import PairCandidate, pairs
from kong_eventhooks_plugin.sources.changes.mirror.rows import Row, Tombstone, Writing
from kong_eventhooks_plugin.sources.changes.mirror.scan import Bits, Scan
from kong_eventhooks_plugin.sources.changes.mirror.snapshot import Snapshot, with_reference
from kong_eventhooks_plugin.sources.changes.mirror.store import Store
from kong_eventhooks_plugin.sources.changes.model import EntityChange
from kong_eventhooks_plugin.telemetry.metrics import Tally

BATCH: Final = 100
OUTBOX: Final = 100_000
IDS_AT_ONCE: Final = 2_000

T = TypeVar("T")


class Applier:
    """``steps`` yields after each transaction, so that other calls get their turn in between.

    ``configuration``: the hash of a Kong without a database. ``published`` counts changes by operation, ``adopted``
    states that were adopted silently, ``dropped`` what was skipped.
    """

    def __init__(
        self, store: Store, rules: EntityRules, scan: Scan, schemas: Sequence[str], configuration: str | None
    ) -> None:
        self._store = store
        self._rules = rules
        self._scan = scan
        self._schemas = [schema for schema in dict.fromkeys(schemas) if schema in scan.windows]
        self._configuration = configuration
        self._own_revs: set[int] = set()
        self.published: Tally[tuple[Operation]] = Tally()
        self.adopted = scan.adopted
        self.dropped = scan.dropped

    def steps(self) -> Iterator[None]:
        """Apply a transaction at a time. Raises ``QueueFull``, ``StoreUnavailable`` where the mirror was dropped."""
        for schema in self._schemas:
            if self._configuration is not None:
                yield from self._renew(schema)
            yield from self._apply_removed(schema)
            yield from self._apply_batches(schema, "differs", self._apply_different)
            silent = self._store.listed_at(schema) is None
            yield from self._apply_batches(schema, "created", partial(self._apply_created, schema, silent))
            with self._transaction():
                self._store.set_listed(schema, self._scan.windows[schema].low)
            yield

    @contextmanager
    def _transaction(self) -> Iterator[int]:
        with self._scan.transaction(self._store) as rev:
            if self._store.outbox() >= OUTBOX:
                raise QueueFull("mirror_outbox", f"{OUTBOX:,} changes wait in the outbox")
            self._own_revs.add(rev)
            yield rev

    # under new ids

    def _renew(self, schema: str) -> Iterator[None]:
        created = list(self._scan.differences.created(schema))
        if not created:
            return
        yield
        removed: list[PairCandidate] = []
        for rows in self._unlisted(schema, self._store.candidates_after):
            removed += [PairCandidate(*row) for row in rows]
            yield
        # In the order of the rows: in any other each transaction would write as many pages as it has pairs, twice.
        for batch in _batches(sorted(pairs(removed, created))):
            with self._transaction() as rev:
                self._renew_some(schema, batch, rev)
            self._scan.differences.drop([i for _, i in batch])
            yield

    def _unlisted(
        self, schema: str, read: Callable[[str, str, int], list[tuple[Any, ...]]]
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the schema's rows that its list did not show, without ids, as many as one read finds each time."""
        seen, last = self._mark_listed(schema), ""
        while rows := read(schema, last, IDS_AT_ONCE):
            yield [row[1:] for row in rows if row[1] not in seen]
            last = rows[-1][0]

    def _renew_some(self, schema: str, batch: list[tuple[int, int]], rev: int) -> None:
        rows = self._store.by_numbers([number for number, _ in batch])
        differences = self._scan.differences.some([i for _, i in batch])
        renewed = []
        for number, i in batch:
            self._mark_listed(schema).add(number)
            row = rows.get(number)
            if row is None or self._is_touched(row):
                self.dropped += 1
            else:
                renewed.append((row, differences[i].snapshot, differences[i].window))
        self._apply_states(renewed, rev)
        referred = self._store.referred(schema, [row.id for row, _, _ in renewed])
        for row, snapshot, _ in renewed:
            if row.id in referred:
                self._follow(row, snapshot, rev)

    def _follow(self, row: Row, snapshot: Snapshot, rev: int) -> None:
        """Make what referred to the old id refer to the new one."""
        while references := self._store.referring(row.schema, row.id):
            for reference in references:
                child = self._store.by_number(reference.number)
                assert child is not None  # noqa: S101  references go with their row
                pointed = with_reference(self._rules, self._store.snapshot(child), reference.field, snapshot.id)
                self._store.put(pointed, _unmoved(child, rev), child.n)

    # removed

    def _apply_removed(self, schema: str) -> Iterator[None]:
        for rows in self._unlisted(schema, self._store.ids_after):
            for some in _batches(rows):
                with self._transaction() as rev:
                    for (number,) in some:
                        self._add_tombstone(number, self._scan.windows[schema], rev)
                yield
            yield

    def _add_tombstone(self, number: int, window: TimeWindow, rev: int) -> None:
        row = self._store.by_number(number)
        if row is None or self._is_touched(row):
            self.dropped += row is not None
            return
        root = self._deleted_with(row)
        self._store.drop(row, Tombstone(rev, 0, row.since, window.low, window.high, None, root))
        if ordering.in_doubt(row.others, ABSENT):
            self.adopted += 1
            return
        self._report("delete", row, window, row, deleted_with=root)

    def _deleted_with(self, row: Row) -> str | None:
        for reference in self._rules.references(row.schema, row.masked().shown):
            if reference.on_delete == "cascade":
                parent = self._store.tombstone(reference.schema, reference.id)
                if parent is not None:
                    return parent.root or f"{reference.schema}:{reference.id}"
        return None

    # different

    def _apply_batches(
        self, schema: str, kind: DifferenceKind, apply: Callable[[list[Difference], int], None]
    ) -> Iterator[None]:
        last = 0
        while batch := self._scan.differences.batch(schema, kind, last, BATCH):
            last = max(batch)
            with self._transaction() as rev:
                apply(list(batch.values()), rev)
            yield

    def _apply_different(self, batch: list[Difference], rev: int) -> None:
        rows = self._store.by_numbers([found.number for found in batch if found.number is not None])
        accepted = []
        for found in batch:
            assert found.number is not None  # noqa: S101  what differs was compared with a row
            row = rows.get(found.number)
            moved = row is None or (row.rev != found.rev and row.rev not in self._own_revs)
            if row is None or moved or row.id != found.snapshot.id or self._is_touched(row):
                self.dropped += 1
            else:
                accepted.append((row, found.snapshot, found.window))
        self._apply_states(accepted, rev)

    def _apply_states(self, states: list[tuple[Row, Snapshot, TimeWindow]], rev: int) -> None:
        """Make listed states the rows'; report those that differ in more than their form."""
        for row, snapshot, window in states:
            if not self._report_update(row, snapshot, window):
                self.adopted += 1
        self._store.put_over(
            [(row.n, snapshot, Writing(rev, 0, row.since, window)) for row, snapshot, window in states]
        )

    def _report_update(self, row: Row, snapshot: Snapshot, window: TimeWindow) -> bool:
        if ordering.judge_listed(snapshot.content, row.content, row.others) != "changed":
            return False
        same_rules, same_origin = row.rules == snapshot.rules, not row.by_route
        old, new = comparable(row.masked(), snapshot.masked(), same_rules=same_rules, same_origin=same_origin)
        if self._rules.content(row.schema, old) == self._rules.content(row.schema, new):
            return False
        changed = self._rules.changed(row.schema, old, new)
        self._store.record_published(snapshot, window.high)
        self._report("update", snapshot, window, row, changed=changed)
        return True

    # new

    def _apply_created(self, schema: str, silent: bool, batch: list[Difference], rev: int) -> None:
        ids = [found.snapshot.id for found in batch]
        there, tombstoned = self._store.known_states(schema, ids), self._store.tombstoned(schema, ids)
        self.dropped += len(there)
        plain = []
        for found in batch:
            snapshot, window = found.snapshot, found.window
            if snapshot.id in there:
                continue
            if snapshot.id in tombstoned:
                self._apply_one_tombstoned(found, rev, silent=silent)
                continue
            plain.append((snapshot, Writing(rev, 0, window.high, window)))
            if not silent:
                self._report_created(snapshot, window)
        self._store.put_new(plain)
        self.adopted += len(plain) if silent else 0

    def _apply_one_tombstoned(self, found: Difference, rev: int, *, silent: bool) -> None:
        """Apply a listed entity that has a tombstone: it was made again, or listed before it was deleted."""
        snapshot, window = found.snapshot, found.window
        tombstone = self._store.tombstone(snapshot.schema, snapshot.id)
        assert tombstone is not None  # noqa: S101  by the caller
        if self._scan.mark.touched(tombstone.route_rev, tombstone.high):
            self.dropped += 1
            return
        self._store.put(snapshot, Writing(rev, 0, window.high, window))
        if silent or ordering.in_doubt(tombstone.others, snapshot.content):
            self.adopted += 1
        else:
            self._report_created(snapshot, window)

    def _report_created(self, snapshot: Snapshot, window: TimeWindow) -> None:
        self._store.record_published(snapshot, window.high)
        self._report("create", snapshot, window)

    # all

    def _mark_listed(self, schema: str) -> Bits:
        return self._scan.seen.setdefault(schema, Bits())

    def _is_touched(self, row: Row) -> bool:
        return self._scan.mark.touched(row.route_rev, row.high)

    def _report(
        self,
        operation: Operation,
        state: Row | Snapshot,
        window: TimeWindow,
        before: Row | None = None,
        changed: tuple[str, ...] = (),
        deleted_with: str | None = None,
    ) -> None:
        shown = state.masked().shown
        identities = Identities(self._store, self._rules, self._configuration)
        change = EntityChange(
            **identities.of(operation, state.schema, state.id, shown, window)._asdict(),
            shared=True,
            at=window.high,
            schema=state.schema,
            operation=operation,
            id=state.id,
            entity=shown,
            old_entity=before.masked().shown if before is not None and operation == "update" else None,
            old_at=None if before is None else self._store.known_at(before),
            changed=changed,
            workspace=(before or state).workspace,
            deleted_with=deleted_with,
        )
        self._store.append_outbox([change])
        self.published[operation,] += 1


def _unmoved(row: Row, rev: int) -> Writing:
    return Writing(rev, row.route_rev, row.since, row.window, row.others)


def _batches(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
