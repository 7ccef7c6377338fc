"""POST /config of a DB-less Kong: a declarative document becomes the node's entities, all of them anew.

As a real Kong does it: every timestamp is renewed; ids come from names, but key-auth, jwt and oauth2 credentials and
what has no name get a new random one each time.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import yaml

from tests.support.admin_schemas import ENDPOINT_KEYS, RENEWED, TOGETHER_UNIQUE, Schemas
from tests.support.admin_store import Entity, Refused, Store


def read(given: dict[str, Any]) -> dict[str, Any]:
    """Return the document of a request: the body itself, or a text under ``config``."""
    if "_format_version" in given:
        return given
    text = given.get("config")
    if text is None:
        raise Refused(400, {"message": "expected a declarative configuration"})
    document = yaml.safe_load(text) if isinstance(text, str) else text
    return document if isinstance(document, dict) else {}


def digest(document: dict[str, Any]) -> str:
    """Return what /status says as ``configuration_hash``."""
    return hashlib.md5(json.dumps(document, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def load(store: Store, document: dict[str, Any]) -> dict[str, dict[str, Entity]]:
    """Replace the store's entities with the document's; returns them as Kong answers; raises ``Refused``."""
    fresh = Store(store.schemas, store.clock, full_pages=True)
    try:
        waiting = list(_flat(store.schemas, document, {}))
        while waiting:
            waiting = _insert(fresh, waiting)
    except Refused as refused:
        raise _invalid(refused) from refused
    store.__dict__.update(fresh.__dict__)
    answer = {name: {row["id"]: row for row in store.all(name)} for name in store.schemas.entities}
    return {name: rows for name, rows in answer.items() if rows}


def _insert(store: Store, waiting: list[tuple[str, Entity]]) -> list[tuple[str, Entity]]:
    """Insert what refers to nothing that is still missing; return the rest."""
    later: list[tuple[str, Entity]] = []
    for schema, given in waiting:
        try:
            store.insert(schema, given, given.get("id") or _identity(schema, given))
        except Refused as refused:
            if refused.body["code"] not in (4, 13) or len(waiting) == 1:
                raise
            later.append((schema, given))
    if len(later) == len(waiting):
        store.insert(*later[0])
    return later


def _flat(schemas: Schemas, document: dict[str, Any], parent: Entity) -> Iterable[tuple[str, Entity]]:
    for schema, entities in document.items():
        if schema.startswith("_"):
            continue
        if schema not in schemas.entities:
            raise Refused(400, {"code": 2, "fields": {schema: "unknown field"}})
        for entity in entities:
            yield from _with_children(schemas, schema, entity | parent)


def _with_children(schemas: Schemas, schema: str, entity: Entity) -> Iterable[tuple[str, Entity]]:
    about = schemas.entities[schema]
    nested = {
        name: value
        for name, value in entity.items()
        if name not in about.fields and name in schemas.entities and isinstance(value, list)
    }
    own = {name: value for name, value in entity.items() if name not in nested}
    for field, (target, _) in about.references.items():
        if isinstance(own.get(field), str):
            own[field] = {ENDPOINT_KEYS.get(target, "id"): own[field]}
    own["id"] = own.get("id") or _identity(schema, own)
    yield schema, own
    for name, children in nested.items():
        field = next(field for field, (target, _) in schemas.entities[name].references.items() if target == schema)
        yield from _flat(schemas, {name: children}, {field: {"id": own["id"]}})


def _identity(schema: str, given: Entity) -> str:
    names = TOGETHER_UNIQUE.get(schema) or (ENDPOINT_KEYS.get(schema) or "id",)
    values = [given.get(name) for name in names]
    if schema in RENEWED or all(value is None for value in values):
        return str(uuid4())
    return str(uuid5(NAMESPACE_URL, json.dumps([schema, *values], sort_keys=True)))


def _invalid(refused: Refused) -> Refused:
    body = {"code": 14, "name": "invalid declarative configuration", "fields": refused.body.get("fields", {})}
    return Refused(400, body | {"message": f"declarative config is invalid: {refused.body.get('fields')}"})
