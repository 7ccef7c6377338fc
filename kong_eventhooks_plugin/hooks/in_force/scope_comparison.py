"""Whether two spellings of a scope mean the same entities.

A file names a service, Kong's configuration of an instance has its id. A DB-less Kong derives the id from the name, so
the two can be compared; with a database they cannot, and count as different.

How Kong derives them: ``generate_uuid`` of kong/db/schema/others/declarative_config.lua.
"""

import uuid

from kong_eventhooks_plugin.model.scope import HookScope

_ENTITIES = uuid.UUID("fd02801f-0957-4a15-a55a-c8d9606f30b5")


def dbless_id(entity: str, name: str) -> str:
    """Return the id that a DB-less Kong gives a service, route or consumer (``services``...) of that name."""
    return str(uuid.uuid5(uuid.uuid5(_ENTITIES, entity), name))


def same_scope(one: HookScope, other: HookScope) -> bool:
    """Return whether both certainly mean the same entities."""
    return (
        _same("services", one.service, other.service)
        and _same("routes", one.route, other.route)
        and _same("consumers", one.consumer, other.consumer)
    )


def certainly_differ(one: HookScope, other: HookScope) -> bool:
    """Return whether both certainly mean different entities: another kind, two names or two ids."""
    pairs = ((one.service, other.service), (one.route, other.route), (one.consumer, other.consumer))
    return not same_scope(one, other) and any(_comparable(a, b) and a != b for a, b in pairs)


def _same(entity: str, one: str | None, other: str | None) -> bool:
    if one == other:
        return True
    return (
        one is not None and other is not None and (dbless_id(entity, one) == other or dbless_id(entity, other) == one)
    )


def _comparable(one: str | None, other: str | None) -> bool:
    return one is None or other is None or _is_id(one) == _is_id(other)


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
