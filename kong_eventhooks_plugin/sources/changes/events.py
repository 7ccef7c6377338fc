"""The sources ``crud`` and ``dao:crud``: one change of one of Kong's entities is three events.

===========  ========================  ===============================================
source       event                     for hooks on
===========  ========================  ===============================================
crud         ``<schema>``              everything that happens to consumers, say
crud         ``<schema>:<operation>``  one operation of it
dao:crud     ``<operation>``           one operation of every entity
===========  ========================  ===============================================

All three have the same data and different ids, which come from the change's identity: publishing a change again after a
crash, or by another node that found it too, gives the same ids, and the queue keeps one of each.

The first four fields are Kong Enterprise's. Of a delete it gives the deleted entity as ``entity`` and no
``old_entity`` (Kong's DAO posts it so); we do the same. The other fields are ours and always there, null where unset:
a template or a filter that reads one never fails.

on_change compares Enterprise's four: what changed, and not who did it or how it was seen. ``updated_at`` is part of the
entity, as in Enterprise: the same state written again is another one where Kong gave it a new time.

Limit: ``ENTITY_BYTES`` of JSON for ``entity`` and for ``old_entity``. Of a larger one the largest fields are null, and
``omitted_fields`` names them; the event is published all the same.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.model.scope import EventScope
from kong_eventhooks_plugin.sources.catalogue import unique_fields
from kong_eventhooks_plugin.sources.changes.catalogue import CRUD, DAO_CRUD
from kong_eventhooks_plugin.sources.changes.model import EntityChange

ENTITY_BYTES: Final = 1 << 20

_UNIQUE: Final = unique_fields(DAO_CRUD, "create")

_encode = msgspec.json.Encoder().encode


def events_of_change(change: EntityChange) -> tuple[Event, Event, Event]:
    """Return the three events of a change, in the order of the table above."""
    data, scope = _data(change), _scope(change)

    def event(source: str, name: str, identity: str) -> Event:
        return Event(
            id=event_id(0.0 if change.shared else change.at, identity, source, name),
            source=source,
            event=name,
            data=data,
            time=change.at,
            scope=scope,
            unique=_UNIQUE,
        )

    of_operation = change.of_operation or change.identity
    return (
        event(CRUD, change.schema, change.identity),
        event(CRUD, f"{change.schema}:{change.operation}", of_operation),
        event(DAO_CRUD, change.operation, of_operation),
    )


def _data(change: EntityChange) -> dict[str, Any]:
    entity, omitted = _within_limit("entity", change.entity)
    old_entity, omitted_of_old = _within_limit(
        "old_entity", None if change.operation == "delete" else change.old_entity
    )
    return {
        "operation": change.operation,
        "entity": entity,
        "old_entity": old_entity,
        "schema": change.schema,
        "changed": list(change.changed),
        "actor": None if change.actor is None else msgspec.structs.asdict(change.actor),
        "seen_by": change.seen_by,
        "old_at": change.old_at,
        "workspace": change.workspace,
        "deleted_with": change.deleted_with,
        "omitted_fields": [*omitted, *omitted_of_old],
    }


def _within_limit(name: str, entity: dict[str, Any] | None) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """Return the entity, its largest fields null as far as the limit demands, and which these are."""
    if entity is None:
        return None, ()
    size = len(_encode(entity))
    if size <= ENTITY_BYTES:
        return entity, ()
    kept, omitted = dict(entity), []
    for bytes_of_it, field in sorted(((len(_encode(value)), field) for field, value in entity.items()), reverse=True):
        kept[field] = None
        omitted.append(f"{name}.{field}")
        size -= bytes_of_it
        if size <= ENTITY_BYTES:
            break
    return kept, tuple(omitted)


def _scope(change: EntityChange) -> EventScope:
    """Return the service, route and consumer that the change is of or that the entity refers to.

    Both states count: a hook on a service fires for a route that moved away from it. An entity refers by id alone.
    """
    states = [change.entity] if change.old_entity is None else [change.entity, change.old_entity]
    return EventScope(
        service=_aliases(change.schema, "services", "service", states),
        route=_aliases(change.schema, "routes", "route", states),
        consumer=_aliases(change.schema, "consumers", "consumer", states),
    )


def _aliases(schema: str, own: str, field: str, states: list[dict[str, Any]]) -> tuple[str, ...]:
    entities = states if schema == own else [state.get(field) for state in states]
    # A dict, not a set: ids come first, and the order is the same every time.
    return tuple(dict.fromkeys(alias for entity in entities for alias in _names(entity)))


def _names(entity: Any) -> Iterator[str]:
    """Yield what may name the entity: its id, its name or username. Not a custom_id, see ``model.scope``."""
    if isinstance(entity, Mapping):
        for field in ("id", "name", "username"):
            name = entity.get(field)
            if isinstance(name, str) and name:
                yield name
