"""Applies what the route saw to the mirror, in one transaction with the changes that it reports.

====================  =======================================================================================
request               change
====================  =======================================================================================
POST, PUT, PATCH      of the entity that Kong answered with: ``ordering`` says whether it is reported, and as
                      what; through a relation (``PUT /plugins/{id}/consumer``) too. The next reconciliation
                      finds whether such a PUT has set the reference
DELETE                of the entity that the path names, among those under its parents; then of what Kong
                      deletes with it (``cascade``). One that the mirror does not know is not reported, unless
                      the schema's list was never complete: then what the path says is
DELETE of a relation  none: Kong refuses it
an action             none (``.../healthy``)
====================  =======================================================================================

Kong calls again where our answer was lost: a request id that was applied already changes and reports nothing.

Limit: a name that means several entities, which paths cannot, is left to the next reconciliation.
"""

import re
from typing import Any, Final

import msgspec
import structlog

from kong_eventhooks_plugin.errors import ObservationError
from kong_eventhooks_plugin.kong.admin_api.entities import EntityRules
from kong_eventhooks_plugin.model.entity_path import EntityPath
from kong_eventhooks_plugin.model.operation import Operation
from kong_eventhooks_plugin.sources.changes.mirror import ordering
from kong_eventhooks_plugin.sources.changes.mirror.cascade import Cascade
from kong_eventhooks_plugin.sources.changes.mirror.identity import Identities
from kong_eventhooks_plugin.sources.changes.mirror.normalize import comparable
from kong_eventhooks_plugin.sources.changes.mirror.ordering import TimeWindow
from kong_eventhooks_plugin.sources.changes.mirror.rows import Row, Tombstone, Writing
from kong_eventhooks_plugin.sources.changes.mirror.snapshot import Snapshot, short, snapshot_of
from kong_eventhooks_plugin.sources.changes.mirror.store import Store
from kong_eventhooks_plugin.sources.changes.model import EntityChange, RouteChange

_WRITES: Final = frozenset({"POST", "PUT", "PATCH"})
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")

log = structlog.get_logger()


def apply(store: Store, rules: EntityRules, seen: RouteChange, rev: int) -> list[EntityChange]:
    """Apply an observation; return the changes, which are in the outbox. Runs inside a transaction.

    Raises ``ObservationError`` where Kong's answer to a write is no entity.
    """
    place = seen.place
    if place.action is not None or (seen.method == "DELETE" and place.relation is not None):
        return []
    if seen.actor.request_id and not store.is_new_request(seen.actor.request_id, seen.seen_at):
        return []
    applying = _RouteApplier(store, rules, seen, rev)
    if seen.method in _WRITES:
        changes = applying.write()
    else:
        changes = applying.delete() if seen.method == "DELETE" and place.key is not None else []
    store.append_outbox(changes)
    return changes


class _RouteApplier:
    def __init__(self, store: Store, rules: EntityRules, seen: RouteChange, rev: int) -> None:
        self._store = store
        self._rules = rules
        self._seen = seen
        self._place = seen.place
        self._rev = rev
        self._window = TimeWindow(seen.started_at, max(seen.started_at, seen.seen_at))

    # writes

    def write(self) -> list[EntityChange]:
        entity = self._seen.entity
        if entity is None or not isinstance(entity.get("id"), str):
            raise ObservationError("the answer to a write has no id")
        if not self._place.schema:
            raise ObservationError("the path leads to an entity that is not known")
        snapshot = snapshot_of(self._rules, self._place.schema, entity, self._place.workspace)
        if self._is_published(snapshot):
            return []
        row = self._store.by_id(snapshot.schema, snapshot.id)
        tombstone = self._store.tombstone(snapshot.schema, snapshot.id) if row is None else None
        verdict = ordering.judge_write(
            self._seen.method,
            self._window,
            row.known_state if row else None,
            tombstone.known_state if tombstone else None,
        )
        change = self._written(verdict.operation, snapshot, None if verdict.late else row)
        if verdict.store:
            self._store_state(snapshot, row, created=verdict.operation == "create", doubt=verdict.doubt)
        return [change]

    def _is_published(self, snapshot: Snapshot) -> bool:
        """Return whether a reconciliation that listed after the request began reported exactly that state."""
        for published in self._store.published_of(snapshot.schema, snapshot.id, self._window.low):
            same_rules = published.rules == snapshot.rules
            one, other = comparable(published.masked(), snapshot.masked(), same_rules=same_rules, same_origin=False)
            if self._rules.exact(snapshot.schema, one) == self._rules.exact(snapshot.schema, other):
                self._store.claim(published.number)
                return True
        return False

    def _written(self, operation: Operation, snapshot: Snapshot, before: Row | None) -> EntityChange:
        change = self._change(operation, snapshot, snapshot.id, snapshot.masked().shown)
        if before is None or operation != "update":
            return change
        old = before.masked()
        changed: tuple[str, ...] = ()
        if before.content != snapshot.content:
            same_rules = before.rules == snapshot.rules
            both = comparable(old, snapshot.masked(), same_rules=same_rules, same_origin=before.by_route)
            changed = self._rules.changed(snapshot.schema, *both)
        old_at = self._store.known_at(before)
        return msgspec.structs.replace(change, old_entity=old.shown, old_at=old_at, changed=changed)

    def _change(
        self,
        operation: Operation,
        where: Row | Snapshot | EntityPath,
        entity_id: str,
        entity: dict[str, Any],
        mark: str | None = None,
    ) -> EntityChange:
        """Return the change; ``mark`` stands for an id that is not known."""
        identities = Identities(self._store, self._rules)
        return EntityChange(
            **identities.of(operation, where.schema, mark or entity_id, entity, self._window)._asdict(),
            shared=True,
            at=self._seen.seen_at,
            schema=where.schema,
            operation=operation,
            id=entity_id,
            entity=entity,
            actor=self._seen.actor,
            workspace=where.workspace,
        )

    def _store_state(self, snapshot: Snapshot, row: Row | None, *, created: bool, doubt: bool) -> None:
        """Make the state the mirror's. In doubt its window includes that of the state before."""
        window, others = self._window, None
        if doubt:
            others = ordering.doubting(row.others, row.content) if row is not None else ordering.ABSENT
            window = window.around(row.window) if row is not None else window
        since = row.since if row is not None and not created else self._window.high if created else self._window.low
        number = row.n if row is not None else None
        self._store.put(snapshot, Writing(self._rev, self._rev, since, window, others=others), number)

    # deletes

    def delete(self) -> list[EntityChange]:
        rows = self._named()
        before = [row for row in rows if ordering.existed(self._window, row.known_state)]
        there = [row for row in before if not ordering.outlives(self._window, row.known_state)]
        if len(there) == 1:
            deleted = self._deleted(there[0])
            return Cascade(self._store, self._rules, there[0], deleted, self._window, self._rev).run()
        if there:
            log.warning("entity_path_ambiguous", schema=self._place.schema, path=self._place.masked)
            return []
        if len(before) == 1:
            row = before[0]
            # It was made again: another late delete by that name was another entity's, as far as we know.
            again = Writing(self._rev, row.route_rev, row.window.high, row.window, row.others)
            self._store.put(self._store.snapshot(row), again, row.n)
            return [self._deleted(row)]
        return [] if rows else self._unknown()

    def _deleted(self, row: Row) -> EntityChange:
        change = self._change("delete", row, row.id, row.masked().shown)
        return msgspec.structs.replace(change, old_at=self._store.known_at(row))

    def _named(self) -> list[Row]:
        """Return the rows that the path may mean: one, or none; several where some do not exist any more."""
        place = self._place
        assert place.key is not None  # noqa: S101  a delete of a collection does not come here
        if _UUID.fullmatch(place.key):
            row = self._store.by_id(place.schema, place.key.lower())
            if row is not None:
                return [row]
        rows = self._store.by_name(place.schema, short(self._rules.name(place.schema, place.key)))
        if place.workspace is not None:
            rows = [row for row in rows if row.workspace in {None, place.workspace}]
        for schema, key in place.parents:
            parents = self._parents(schema, key)
            rows = [row for row in rows if any(self._store.refers(row.n, schema, parent) for parent in parents)]
        return rows

    def _parents(self, schema: str, key: str) -> list[str]:
        if _UUID.fullmatch(key):
            return [key.lower()]
        return [row.id for row in self._store.by_name(schema, short(self._rules.name(schema, key)))]

    def _unknown(self) -> list[EntityChange]:
        """Report what the mirror cannot know yet, once: a second delete of the same deletes nothing."""
        place = self._place
        if self._store.listed_at(place.schema) is not None:
            return []
        entity, mark = _entity_from_path(self._rules, place)
        if self._store.tombstone(place.schema, mark) is not None:
            return []
        low, high = self._window
        self._store.add_tombstone(place.schema, mark, Tombstone(self._rev, self._rev, low, low, high, None, None))
        return [self._change("delete", place, entity.get("id", ""), entity, mark)]


def _entity_from_path(rules: EntityRules, place: EntityPath) -> tuple[dict[str, Any], str]:
    """Return what is known of an entity that only a path names, and the id of its tombstone."""
    assert place.key is not None  # noqa: S101  as above
    if _UUID.fullmatch(place.key):
        return {"id": place.key.lower()}, place.key.lower()
    words = [place.key, *(word for parent in place.parents for word in parent)]
    # A key can be a secret: neither reported nor kept.
    return {}, f"named:{rules.name(place.schema, '/'.join(words)).hex()}"
