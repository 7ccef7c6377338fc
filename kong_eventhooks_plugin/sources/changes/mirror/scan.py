"""Kong's lists, compared page by page with the mirror; ``applier`` applies the differences once a list is complete.

Nearly every entity is as it was: its fingerprint says so, and its row is not even read. Of any other the content is
compared.

Of a schema that is not known at all (never listed completely, and no row yet) everything would differ: its entities
are adopted page by page instead. Should the list not come to its end, the others are still new, and silent, in the
next scan.

Limits: one bit for each row that a schema's list showed, by the row's number; numbers are not used again, so 1 MB is
enough for the first 8 million entities that a mirror ever had, and it grows on.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.kong.admin_api.entities import PLUGINS, EntityRules
from kong_eventhooks_plugin.sources.changes.mirror import ordering
from kong_eventhooks_plugin.sources.changes.mirror.differences import Difference, Differences
from kong_eventhooks_plugin.sources.changes.mirror.fingerprints import Fingerprints
from kong_eventhooks_plugin.sources.changes.mirror.ordering import TimeWindow, Watermark
from kong_eventhooks_plugin.sources.changes.mirror.rows import Writing
from kong_eventhooks_plugin.sources.changes.mirror.snapshot import snapshot_of
from kong_eventhooks_plugin.sources.changes.mirror.store import KnownRow, Store


class ListSource(NamedTuple):
    """The list that a page is of."""

    schema: str
    workspace: str | None


class Bits:
    """A set of small numbers."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        at = number >> 3
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1 - len(self._bits)))
        self._bits[at] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return at < len(self._bits) and bool(self._bits[at] >> (number & 7) & 1)


class Scan:
    """What has been listed so far. Used in the mirror's thread.

    ``mark``: how far the route had written when it began; ``epoch``: the mirror's then (``Store.forget`` raises it).
    """

    def __init__(self, folder: Path, mark: Watermark, epoch: int, fingerprints: Fingerprints) -> None:
        self.mark = mark
        self.epoch = epoch
        self._fingerprints = fingerprints
        self.differences = Differences(folder)
        self.seen: dict[str, Bits] = {}
        self.windows: dict[str, TimeWindow] = {}
        self.entities: dict[str, int] = {}
        self._requested: set[tuple[str, str | None]] = set()
        self._adopts: dict[str, bool] = {}
        self.failed = False
        """Whether a list failed that may be there next time."""
        self.pending = 0
        """Differences found."""
        self.dropped = 0
        """Differences that are not applied, because the route touched the entity."""
        self.adopted = 0
        """Entities that were adopted silently."""

    @contextmanager
    def transaction(self, store: Store) -> Iterator[int]:
        """Begin a transaction as ``Store.transaction``; raises ``StoreUnavailable`` if the mirror was dropped."""
        with store.transaction() as rev:
            if store.fact("epoch") != self.epoch:
                raise StoreUnavailable("the mirror was dropped during the reconciliation")
            yield rev

    def unknown(self, rules: EntityRules, source: ListSource, page: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return entities whose rules are missing, one of each sort, and no sort twice in a scan."""
        missing = {}
        for entity in page:
            if not rules.has_schema(source.schema, entity):
                sort = (source.schema, str(entity.get("name")) if source.schema == PLUGINS else None)
                if sort not in self._requested:
                    self._requested.add(sort)
                    missing[sort] = entity
        return list(missing.values())

    def fail(self, schema: str, *, for_now: bool) -> None:
        """Forget a schema: its list failed, and half a list means nothing. ``for_now``: it may succeed next time."""
        self.failed |= for_now
        for known in (self.seen, self.windows, self.entities):
            known.pop(schema, None)
        self.differences.drop_schema(schema)

    def ids(self, store: Store, source: ListSource, limit: int) -> list[str]:
        """Return the ids of up to ``limit`` entities that were listed."""
        seen = self.seen.get(source.schema, Bits())
        found = self.differences.created_ids(source.schema, source.workspace, limit)
        for entity_id, number in store.ids(source.schema, source.workspace):
            if len(found) >= limit:
                break
            if number in seen:
                found.append(entity_id)
        return found

    def compare(
        self,
        store: Store,
        rules: EntityRules,
        source: ListSource,
        page: Sequence[dict[str, Any]],
        window: TimeWindow,
    ) -> list[Difference]:
        """Compare one page, requested and answered in ``window``; return what is to be adopted at once."""
        schema = source.schema
        before = self.windows.get(schema)
        self.windows[schema] = window if before is None else window.around(before)
        by_id = {entity["id"]: entity for entity in page if isinstance(entity.get("id"), str)}
        if not by_id:
            return []
        created, differing = self._compare(store, rules, source, by_id, window)
        self.pending += self.differences.add("differs", differing)
        if created and self._is_adopted(store, schema):
            return created
        self._keep_created(schema, created)
        return []

    def adopt(self, store: Store, schema: str, created: Sequence[Difference], window: TimeWindow) -> None:
        """Make what ``compare`` returned rows, silently.

        Not what was written in between; what has a tombstone is a difference.
        """
        ids = [found.snapshot.id for found in created]
        seen = self.seen[schema]
        with self.transaction(store) as rev:
            there, tombstoned = store.known_states(schema, ids), store.tombstoned(schema, ids)
            writing = Writing(rev, 0, window.high, window)
            others = tombstoned | there.keys()
            new = [(each.snapshot, writing) for each in created if each.snapshot.id not in others]
            for number in (*store.put_new(new), *(row.number for row in there.values())):
                seen.add(number)
        self.adopted += len(new)
        self.dropped += len(there)
        self.entities[schema] += len(new) + len(there)
        self._keep_created(schema, [each for each in created if each.snapshot.id in tombstoned])

    def _keep_created(self, schema: str, created: Sequence[Difference]) -> None:
        added = self.differences.add("created", created)
        self.entities[schema] += added
        self.pending += added

    def _compare(
        self,
        store: Store,
        rules: EntityRules,
        source: ListSource,
        by_id: dict[str, dict[str, Any]],
        window: TimeWindow,
    ) -> tuple[list[Difference], list[Difference]]:
        """Return what has no row, and what differs from its row."""
        schema, workspace = source
        seen = self.seen.setdefault(schema, Bits())
        known = store.known_states(schema, list(by_id))
        created, differing = [], []
        count = 0
        for entity_id, entity in by_id.items():
            row = known.get(entity_id)
            if row is None:
                created.append(Difference(snapshot_of(rules, schema, entity, workspace), window))
            elif row.number not in seen:
                seen.add(row.number)
                count += 1
                fingerprint = self._fingerprints.of(entity, row.number, row.rev)
                if self._fingerprints.has(row.number, fingerprint):
                    continue
                if _is_same(rules, source, entity, row):
                    self._fingerprints.keep(row.number, fingerprint)
                elif self.mark.touched(row.route_rev, row.high):
                    self.dropped += 1
                else:
                    snapshot = snapshot_of(rules, schema, entity, workspace)
                    differing.append(Difference(snapshot, window, row.number, row.rev))
        self.entities[schema] = self.entities.get(schema, 0) + count
        return created, differing

    def _is_adopted(self, store: Store, schema: str) -> bool:
        """Return whether nothing was known of the schema when its list began."""
        if schema not in self._adopts:
            self._adopts[schema] = store.listed_at(schema) is None and not store.ids_after(schema, "", 1)
        return self._adopts[schema]


def _is_same(rules: EntityRules, source: ListSource, entity: dict[str, Any], row: KnownRow) -> bool:
    content = rules.content(source.schema, rules.mask(source.schema, entity))
    # The route does not always say the workspace.
    placed = row.workspace is not None or source.workspace is None
    return placed and ordering.judge_listed(content, row.content, row.others) == "same"
