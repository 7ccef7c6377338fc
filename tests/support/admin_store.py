"""Kong's entities in memory: what creating, changing and deleting them does, as a Kong with a database does it.

Limit: memory. 100,000 consumers take about 60 MB. Nothing here knows of HTTP but the status of a refusal.
"""

import hashlib
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from tests.support.admin_schemas import (
    NAMED_WITHIN_PARENT,
    TOGETHER_UNIQUE,
    WITH_TTL,
    Faults,
    Schema,
    Schemas,
    completed,
    entity_faults,
    field_faults,
    fields_of,
    merged,
    name_faults,
    pretty,
    route_faults,
    violation,
)

Entity = dict[str, Any]
Clock = Callable[[], float]


class Refused(Exception):
    """Kong does not do it; ``status`` and ``body`` are its answer."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


class Page(NamedTuple):
    """One page of a list; ``last`` is the id that the next page begins after, None at the end."""

    entities: list[Entity]
    last: str | None


def is_uuid(text: Any) -> bool:
    """Say whether a text is a UUID as Kong writes them."""
    try:
        return str(UUID(text)) == str(text).lower()
    except (ValueError, AttributeError, TypeError):
        return False


class Store:
    """The entities of one workspace.

    ``clock`` gives Unix seconds, ``new_id`` the ids of what comes without one. With ``full_pages`` a page that is full
    is followed by another one, however empty: so pages a DB-less Kong.
    """

    def __init__(
        self,
        schemas: Schemas,
        clock: Clock = time.time,
        *,
        full_pages: bool = False,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self.schemas = schemas
        self.clock = clock
        self.new_id = new_id
        self.full_pages = full_pages
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._rows: dict[str, dict[str, Entity]] = {name: {} for name in self.schemas.entities}
        self._sorted: dict[str, list[str] | None] = {}
        self._unique: dict[str, dict[tuple[Any, ...], str]] = {name: {} for name in self.schemas.entities}
        self._children: dict[tuple[str, str, str], set[str]] = {}
        self._expires: dict[str, float] = {}

    # --- reading

    def find(self, schema: str, key: str, within: tuple[str, str] | None = None) -> Entity | None:
        """Return the entity that an id or a name in a path means; ``within`` is a reference that it must have."""
        row = self._rows[schema].get(key) or self._named(schema, key, within)
        if row is None or self._over(row):
            return None
        if within and (row.get(within[0]) or {}).get("id") != within[1]:
            return None
        return row

    def _named(self, schema: str, key: str, within: tuple[str, str] | None) -> Entity | None:
        endpoint_key = self.schemas.entities[schema].endpoint_key
        if endpoint_key:
            found = self._unique[schema].get((endpoint_key, key))
        elif within and schema in NAMED_WITHIN_PARENT:
            found = self._unique[schema].get((*TOGETHER_UNIQUE[schema], within[1], key))
        else:
            found = None
        return self._rows[schema][found] if found else None

    def page(
        self, schema: str, size: int, after: str = "", within: tuple[str, str] | None = None, tags: str | None = None
    ) -> Page:
        """Return up to ``size`` entities whose id comes after ``after``, in the order of ids."""
        ids = self._ids(schema) if within is None else sorted(self._children.get((schema, *within), ()))
        rows = self._rows[schema]
        found: list[Entity] = []
        for identity in ids[bisect_right(ids, after) :]:
            row = rows[identity]
            if self._over(row) or not _tagged(row, tags):
                continue
            if len(found) == size:
                return Page(found, found[-1]["id"])
            found.append(row)
        return Page(found, found[-1]["id"] if self.full_pages and len(found) == size else None)

    def all(self, schema: str) -> list[Entity]:
        """Return every entity of a schema, in the order of ids."""
        return [self._rows[schema][identity] for identity in self._ids(schema)]

    def count(self, schema: str) -> int:
        """Return how many there are."""
        return len(self._rows[schema])

    def shown(self, schema: str, row: Entity) -> Entity:
        """Return the entity as a Kong with a database writes it."""
        shown = dict(row)
        if schema in WITH_TTL:
            expires = self._expires.get(row["id"])
            shown["ttl"] = None if expires is None else max(0, int(expires - self.clock()))
        if schema == "certificates":
            snis = self._children.get(("snis", "certificate", row["id"]), ())
            shown["snis"] = sorted(self._rows["snis"][identity]["name"] for identity in snis)
        if schema == "plugins" and row["name"] in self.schemas.plugin_answers:
            shown["config"] = _with_shorthands(row["config"], self.schemas.plugin_config(row["name"]))
        return shown

    def _ids(self, schema: str) -> list[str]:
        ids = self._sorted.get(schema)
        if ids is None:
            ids = self._sorted[schema] = sorted(self._rows[schema])
        return ids

    def _over(self, row: Entity) -> bool:
        expires = self._expires.get(row["id"])
        return expires is not None and expires <= self.clock()

    # --- writing

    def insert(self, schema: str, given: Entity, identity: str | None = None) -> Entity:
        """Create an entity; raises ``Refused`` where Kong would."""
        about = self.schemas.entities[schema]
        given, ttl = _without_ttl(schema, given)
        now = self._now(about)
        row = {"id": identity or given.pop("id", None) or str(self.new_id())}
        values = self._checked(about, _shorthand(schema, given))
        row |= {name: value for name, value in values.items() if name != "id"}
        for name in ("created_at", "updated_at"):
            if name in about.fields:
                row[name] = given.get(name) or now
        for name, field in about.fields.items():
            if field.get("auto") and row.get(name) is None:
                row[name] = self.new_id().hex
        snis = row.pop("snis", None) if schema == "certificates" else None
        row = _hashed(schema, row, given)
        self._claim(about, row)
        self._put(about, row)
        self._live(row, ttl)
        for sni in snis or ():
            self.insert("snis", {"name": sni, "certificate": {"id": row["id"]}})
        return row

    def update(self, schema: str, row: Entity, given: Entity, *, replace: bool = False) -> Entity:
        """Change an entity, or with ``replace`` set what is not given to its default, ``created_at`` to now.

        Raises ``Refused``.
        """
        about = self.schemas.entities[schema]
        given, ttl = _without_ttl(schema, given)
        kept, now = {name: row[name] for name in ("id", "created_at") if name in row}, self._now(about)
        if replace and "created_at" in kept:
            kept["created_at"] = given.get("created_at") or now
        given = {name: value for name, value in _shorthand(schema, given).items() if name not in kept}
        whole = given if replace else merged(row, given, self._fields(about, row | given))
        values = self._checked(about, {name: value for name, value in whole.items() if name not in kept})
        new = dict.fromkeys(about.fields) | values | kept
        for name, field in about.fields.items():
            if field.get("auto") and new.get(name) is None:
                new[name] = row.get(name)
        if "updated_at" in about.fields:
            new["updated_at"] = now
        if schema == "certificates":
            new.pop("snis", None)
        new = _hashed(schema, new, given)
        self._release(about, row)
        try:
            self._claim(about, new)
        except Refused:
            self._claim(about, row)
            raise
        self._put(about, new)
        if ttl is not None or replace:
            self._live(new, ttl)
        return new

    def delete(self, schema: str, row: Entity) -> list[tuple[str, Entity]]:
        """Delete an entity and what goes along with it; return all that went; raises ``Refused`` where one holds it."""
        gone: list[tuple[str, Entity]] = []
        children = list(self._referring(schema, row["id"]))
        for name, _, on_delete, _ in children:
            if on_delete is None:
                raise Refused(400, _restricted(schema, name))
        for name, field, on_delete, child in children:
            if on_delete == "cascade":
                gone += self.delete(name, child)
            else:
                self._replace(self.schemas.entities[name], child, child | {field: None})
        about = self.schemas.entities[schema]
        self._release(about, row)
        del self._rows[schema][row["id"]]
        self._sorted[schema] = None
        self._expires.pop(row["id"], None)
        return [*gone, (schema, row)]

    def fill(self, schema: str, entities: Iterable[Entity]) -> None:
        """Put whole entities in without any check: how a hundred thousand of them get there within a second."""
        about = self.schemas.entities[schema]
        for row in entities:
            self._claim(about, row)
            self._put(about, row)

    def check(self, schema: str, given: Entity) -> None:
        """Raise ``Refused`` where Kong would refuse to create it for what its fields hold."""
        given, _ = _without_ttl(schema, given)
        self._checked(self.schemas.entities[schema], _shorthand(schema, given))

    def fields(self, schema: str, given: Entity) -> dict[str, Any]:
        """Return what a request may set: for a plugin with the fields of its own config."""
        return self._fields(self.schemas.entities[schema], given)

    def _referring(self, schema: str, identity: str) -> Iterable[tuple[str, str, str | None, Entity]]:
        for name, about in self.schemas.entities.items():
            for field, (target, on_delete) in about.references.items():
                if target == schema:
                    for child in list(self._children.get((name, field, identity), ())):
                        yield name, field, on_delete, self._rows[name][child]

    def _fields(self, about: Schema, values: Entity) -> dict[str, Any]:
        if about.name == "plugins" and values.get("name") in self.schemas.plugin_answers:
            return about.fields | {"config": self.schemas.plugin_config(values["name"])}
        if about.name == "certificates":
            return about.fields | {"snis": {"type": "set"}}
        return about.fields

    def _checked(self, about: Schema, given: Entity) -> Entity:
        fields = self._fields(about, given)
        values = self._resolved(about, given)
        values = completed(fields, values)
        faults = field_faults(fields, values) | name_faults(about.name, values)
        says = entity_faults(about.checks, values) + route_faults(about.name, values)
        if about.name == "plugins" and isinstance(values.get("name"), str):
            says += self._plugin_faults(values, faults)
        if says:
            faults["@entity"] = says
        if faults:
            raise Refused(400, violation(faults))
        return values

    def _plugin_faults(self, values: Entity, faults: Faults) -> list[str]:
        name = values["name"]
        if name not in self.schemas.plugin_answers:
            faults["name"] = f"plugin '{name}' not enabled; add it to the 'plugins' configuration property"
            return []
        config = self.schemas.plugin_config(name)
        given = _shorthands_in(values.get("config") or {}, config)
        values["config"] = completed(fields_of(config), given)
        wrong = field_faults(fields_of(config), values["config"])
        faults.pop("config", None)
        if wrong:
            faults["config"] = wrong
        return [] if wrong else entity_faults(self.schemas.plugin_checks(name), values)

    def _resolved(self, about: Schema, given: Entity) -> Entity:
        values = dict(given)
        for field, (target, _) in about.references.items():
            reference = values.get(field)
            if isinstance(reference, dict):
                values[field] = self._reference(field, target, reference)
        return values

    def _reference(self, field: str, target: str, reference: dict[str, Any]) -> Entity:
        if is_uuid(reference.get("id")):
            found = self._rows[target].get(reference["id"])
        else:
            names = [item for item in reference.items() if item in self._unique[target]]
            found = self._rows[target][self._unique[target][names[0]]] if names else None
        if found:
            return {"id": found["id"]}
        if "id" in reference:
            says = f"the foreign key '{pretty(reference)}' does not reference an existing '{target}' entity."
            body = {"code": 4, "name": "foreign key violation", "message": says, "fields": {field: reference}}
        else:
            says = f"the foreign key cannot be resolved with '{pretty(reference)}' for an existing '{target}' entity"
            name = next(iter(reference), "")
            body = {"code": 13, "name": "foreign keys unresolved", "fields": {field: {name: says}}}
            body["message"] = f"foreign key unresolved ({field}.{name}: {says})"
        raise Refused(400, body)

    def _claims(self, about: Schema, row: Entity) -> Iterable[tuple[tuple[Any, ...], Entity]]:
        for field in about.unique:
            value = row.get(field)
            if value is not None:
                claimed = value["id"] if isinstance(value, dict) else value
                yield (field, claimed), {field: value}
        together = TOGETHER_UNIQUE.get(about.name)
        if together:
            values = [row.get(field) for field in together]
            claimed = tuple(value["id"] if isinstance(value, dict) else value for value in values)
            yield (*together, *claimed), dict(zip(together, values, strict=True))

    def _claim(self, about: Schema, row: Entity) -> None:
        taken = self._unique[about.name]
        mine = list(self._claims(about, row))
        for claim, fields in mine:
            if taken.get(claim, row["id"]) != row["id"]:
                says = f"UNIQUE violation detected on '{pretty(fields)}'"
                name = "unique constraint violation"
                raise Refused(409, {"code": 5, "name": name, "message": says, "fields": fields})
        taken.update((claim, row["id"]) for claim, _ in mine)

    def _release(self, about: Schema, row: Entity) -> None:
        for claim, _ in self._claims(about, row):
            self._unique[about.name].pop(claim, None)
        for field in about.references:
            if row.get(field):
                self._children[about.name, field, row[field]["id"]].discard(row["id"])

    def _put(self, about: Schema, row: Entity) -> None:
        rows = self._rows[about.name]
        if row["id"] not in rows:
            self._sorted[about.name] = None
        rows[row["id"]] = row
        for field in about.references:
            if row.get(field):
                self._children.setdefault((about.name, field, row[field]["id"]), set()).add(row["id"])

    def _replace(self, about: Schema, old: Entity, new: Entity) -> None:
        self._release(about, old)
        self._claim(about, new)
        self._put(about, new)

    def _live(self, row: Entity, ttl: Any) -> None:
        self._expires.pop(row["id"], None)
        if ttl and float(ttl):
            self._expires[row["id"]] = self.clock() + float(ttl)

    def _now(self, about: Schema) -> float:
        now = self.clock()
        whole = about.fields.get("created_at", {}).get("type") == "integer"
        return int(now) if whole else round(now, 3)


def _without_ttl(schema: str, given: Entity) -> tuple[Entity, Any]:
    given = dict(given)
    return given, given.pop("ttl", None) if schema in WITH_TTL else None


def _tagged(row: Entity, tags: str | None) -> bool:
    if tags is None:
        return True
    mine = set(row.get("tags") or ())
    return bool(mine & set(tags.split("/"))) if "/" in tags else set(tags.split(",")) <= mine


def _shorthand(schema: str, given: Entity) -> Entity:
    given = dict(given)
    if schema == "services" and isinstance(given.get("url"), str):
        url = urlsplit(given.pop("url"))
        port = url.port or {"https": 443}.get(url.scheme, 80)
        given = {"protocol": url.scheme, "host": url.hostname, "port": port, "path": url.path or None} | given
    target = given.get("target")
    if schema == "targets" and isinstance(target, str) and ":" not in target:
        given["target"] = f"{target}:8000"
    return given


def _hashed(schema: str, row: Entity, given: Entity) -> Entity:
    if schema == "basicauth_credentials" and "password" in given:
        salted = f"{given['password']}{row['consumer']['id']}".encode()
        row["password"] = hashlib.sha1(salted, usedforsecurity=False).hexdigest()
    return row


def _shorthand_paths(config: dict[str, Any]) -> Iterable[tuple[str, list[str]]]:
    for field in config.get("shorthand_fields") or ():
        for name, about in field.items():
            replaced = (about.get("deprecation") or {}).get("replaced_with") or ()
            yield from ((name, path["path"]) for path in list(replaced)[:1])


def _with_shorthands(config: Entity, about: dict[str, Any]) -> Entity:
    shown = dict(config)
    for name, path in _shorthand_paths(about):
        value: Any = config
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        shown[name] = value
    return shown


def _shorthands_in(config: Entity, about: dict[str, Any]) -> Entity:
    values = dict(config)
    for name, path in _shorthand_paths(about):
        if name not in values:
            continue
        value = values.pop(name)
        node = values
        for part in path[:-1]:
            node[part] = dict(node.get(part) or {})
            node = node[part]
        if value is not None:
            node.setdefault(path[-1], value)
    return values


def _restricted(schema: str, child: str) -> dict[str, Any]:
    return {
        "code": 4,
        "name": "foreign key violation",
        "message": f"an existing '{child}' entity references this '{schema}' entity",
        "fields": {"@referenced_by": child},
    }
