"""What Kong deletes together with an entity, by the references that the mirror knows.

``on_delete`` cascade: the entity that refers is deleted too, and what refers to it; null: its reference is unset, an
update of it. The deleted entity is reported first and then the others, parents before children, as Kong itself does
(``deleted_with`` is always the entity that the request deleted). What became known after the request began stays:
nobody can say whether it was made before or after, and the next reconciliation finds out.

Limits: ``MAX_CASCADE`` entities a delete, so that its transaction ends soon; the next reconciliation finds the others
deleted, and with what.
"""

from collections import deque
from typing import Any, Final

import msgspec
import structlog

from kong_eventhooks_plugin.kong.admin_api.entities import EntityRules
from kong_eventhooks_plugin.model.operation import Operation
from kong_eventhooks_plugin.sources.changes.mirror import ordering
from kong_eventhooks_plugin.sources.changes.mirror.identity import Identities
from kong_eventhooks_plugin.sources.changes.mirror.ordering import TimeWindow
from kong_eventhooks_plugin.sources.changes.mirror.rows import Row, Tombstone, Writing
from kong_eventhooks_plugin.sources.changes.mirror.snapshot import with_reference
from kong_eventhooks_plugin.sources.changes.mirror.store import Referring, Store
from kong_eventhooks_plugin.sources.changes.model import EntityChange

MAX_CASCADE: Final = 5_000

log = structlog.get_logger()


class Cascade:
    """Drops a row, and what Kong deletes with it; ``deleted`` is the row's own change."""

    def __init__(
        self, store: Store, rules: EntityRules, row: Row, deleted: EntityChange, window: TimeWindow, rev: int
    ) -> None:
        self._store = store
        self._rules = rules
        self._window = window
        self._rev = rev
        self._root = f"{row.schema}:{row.id}"
        self._changes = [deleted]
        self._removed: deque[tuple[str, str]] = deque()
        self._deleted = deleted
        self._drop(row, None)

    def run(self) -> list[EntityChange]:
        """Return all changes, ``deleted`` first."""
        while self._removed:
            schema, entity = self._removed.popleft()
            for referring in self._store.referring(schema, entity):
                if len(self._changes) > MAX_CASCADE:
                    log.warning("cascade_limit_reached", entity=self._root, limit=MAX_CASCADE)
                    return self._changes
                self._cascade(referring, schema, entity)
        return self._changes

    def _cascade(self, referring: Referring, schema: str, entity: str) -> None:
        row = self._store.by_number(referring.number)
        if row is None or not ordering.existed(self._window, row.known_state):
            return
        if referring.on_delete == "cascade":
            self._changes.append(self._change(row, "delete", row.masked().shown))
            self._drop(row, self._root)
        elif referring.on_delete == "null":
            self._changes.append(self._unset(row, referring.field))

    def _drop(self, row: Row, root: str | None) -> None:
        doubt = row.by_route and not row.window.leads_to(self._window)
        others = ordering.doubting(row.others, row.content) if doubt else None
        low, high = self._window
        self._store.drop(row, Tombstone(self._rev, self._rev, row.since, low, high, others, root))
        self._removed.append((row.schema, row.id))

    def _unset(self, row: Row, field: str) -> EntityChange:
        snapshot = with_reference(self._rules, self._store.snapshot(row), field, None)
        self._store.put(snapshot, Writing(self._rev, self._rev, row.since, self._window), row.n)
        old, new = row.masked().shown, snapshot.masked().shown
        return msgspec.structs.replace(self._change(row, "update", new), old_entity=old, changed=(field,))

    def _change(self, row: Row, operation: Operation, entity: dict[str, Any]) -> EntityChange:
        identities = Identities(self._store, self._rules)
        return msgspec.structs.replace(
            self._deleted,
            **identities.of(operation, row.schema, row.id, entity, self._window)._asdict(),
            schema=row.schema,
            operation=operation,
            id=row.id,
            entity=entity,
            old_at=self._store.known_at(row),
            workspace=row.workspace,
            deleted_with=self._root,
        )
