"""What goes along with a deleted entity, by the references that the mirror knows.

``on_delete`` cascade: the entity that refers is deleted too, and what refers to it; null: its reference is unset, an
update of it. The deleted entity is told first and then what it took along, parents before children, as Kong itself
does (``went_with`` is always the entity that was asked to be deleted). What became known after the request began stays:
nobody can say whether it was made before or after, and the next round sees.

Limits: ``GOING_ALONG`` entities a delete, so that its transaction ends soon; the next round finds the others gone, and
with whom they went.
"""

import secrets
from collections import deque
from typing import Final

import msgspec
import structlog

from kong_eventhooks_plugin.kong.admin_api.entities import Entities
from kong_eventhooks_plugin.sources.changes.mirror import ordering
from kong_eventhooks_plugin.sources.changes.mirror.ordering import Window
from kong_eventhooks_plugin.sources.changes.mirror.rows import Row, Tombstone, Writing
from kong_eventhooks_plugin.sources.changes.mirror.snapshot import with_reference
from kong_eventhooks_plugin.sources.changes.mirror.store import Referring, Store
from kong_eventhooks_plugin.sources.changes.model import Change, Operation

GOING_ALONG: Final = 5_000

log = structlog.get_logger()


def went_along(store: Store, rules: Entities, row: Row, deleted: Change, window: Window, rev: int) -> list[Change]:
    """Take the row away, and what goes along; return all changes, ``deleted`` first."""
    return _Cascade(store, rules, row, deleted, window, rev).run()


class _Cascade:
    def __init__(self, store: Store, rules: Entities, row: Row, deleted: Change, window: Window, rev: int) -> None:
        self._store = store
        self._rules = rules
        self._window = window
        self._rev = rev
        self._root = f"{row.schema}:{row.id}"
        self._changes = [deleted]
        self._gone: deque[tuple[str, str]] = deque()
        self._deleted = deleted
        self._drop(row, None)

    def run(self) -> list[Change]:
        while self._gone:
            schema, entity = self._gone.popleft()
            for referring in self._store.referring(schema, entity):
                if len(self._changes) > GOING_ALONG:
                    log.warning("more went along than is told at once", entity=self._root, limit=GOING_ALONG)
                    return self._changes
                self._go_along(referring, schema, entity)
        return self._changes

    def _go_along(self, referring: Referring, schema: str, entity: str) -> None:
        row = self._store.by_number(referring.number)
        if row is None or not ordering.was_there(self._window, row.standing):
            return
        if referring.on_delete == "cascade":
            self._changes.append(self._change(row, "delete"))
            self._drop(row, self._root)
        elif referring.on_delete == "null":
            self._changes.append(self._unset(row, referring.field))

    def _drop(self, row: Row, root: str | None) -> None:
        doubt = row.by_route and not row.window.leads_to(self._window)
        others = ordering.doubting(row.others, row.content) if doubt else None
        low, high = self._window
        self._store.drop(row, Tombstone(self._rev, self._rev, row.since, low, high, others, root))
        self._gone.append((row.schema, row.id))

    def _unset(self, row: Row, field: str) -> Change:
        image = with_reference(self._rules, self._store.image(row), field, None)
        self._store.put(image, Writing(self._rev, self._rev, row.since, self._window), row.n)
        old, new = row.hidden().shown, image.hidden().shown
        return msgspec.structs.replace(self._change(row, "update"), entity=new, old_entity=old, changed=(field,))

    def _change(self, row: Row, operation: Operation) -> Change:
        return msgspec.structs.replace(
            self._deleted,
            identity=secrets.token_hex(16),
            schema=row.schema,
            operation=operation,
            id=row.id,
            entity=row.hidden().shown,
            old_at=max(row.high, self._store.listed_at(row.schema) or 0.0),
            workspace=row.workspace,
            went_with=self._root,
        )
